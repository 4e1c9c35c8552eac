import type { TSchema } from '@sinclair/typebox'

type Parse = (text: string) => unknown

// AJV's own coercion would read `0x10`, `1e1` and ` 5 ` as numbers. These parsers leave such text as it is, and AJV
// then refuses it.
const NATURAL = /^\d+$/
const INTEGER = /^-?\d+$/
const NUMBER = /^-?\d+(?:\.\d+)?(?:e[+-]?\d+)?$/

const number =
  (written: RegExp): Parse =>
  (text) =>
    written.test(text) ? Number(text) : text

/** The parser of a parameter; undefined for text, which is what it is. */
function parserOf({ type, minimum }: TSchema): Parse | undefined {
  if (type === 'integer') return number(minimum >= 0 ? NATURAL : INTEGER)
  if (type === 'number') return number(NUMBER)
  if (type === 'boolean') return (text) => (text === 'true' ? true : text === 'false' ? false : text)
  return undefined
}

/**
 * Makes the function that converts the parameters of a query string to their types, in place. A query string has only
 * text: a number is written in decimal digits, a boolean as `true` or `false`. A parameter that is an array is repeated
 * for each element.
 *
 * @param schema an object schema whose members are the parameters
 */
export function createQueryCoercion(schema: TSchema): (query: Record<string, unknown>) => void {
  const parsers = Object.entries<TSchema>(schema.properties).flatMap(([name, parameter]) => {
    const isArray = parameter.type === 'array'
    const parse = parserOf(isArray ? parameter.items : parameter)
    return parse === undefined && !isArray ? [] : [{ name, isArray, parse: parse ?? (((text) => text) as Parse) }]
  })
  return (query) => {
    for (const { name, isArray, parse } of parsers) {
      const given = query[name]
      if (typeof given === 'string') query[name] = isArray ? [parse(given)] : parse(given)
      else if (isArray && Array.isArray(given)) query[name] = given.map(parse)
    }
  }
}
