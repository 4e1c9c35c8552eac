import type { TSchema } from '@sinclair/typebox'

// AJV's own coercion would read `0x10`, `1e1` and ` 5 ` as numbers. These parsers leave such text as it is, and AJV
// then refuses it.
const PARSERS: Record<string, (text: string) => unknown> = {
  integer: (text) => (/^\d+$/.test(text) ? Number(text) : text),
  boolean: (text) => (text === 'true' ? true : text === 'false' ? false : text)
}

/**
 * Makes the function that converts the parameters of a query string to their types, in place. A query string has only
 * text: an integer is written in decimal digits, a boolean as `true` or `false`.
 *
 * @param schema an object schema whose members are the parameters
 */
export function createQueryCoercion(schema: TSchema): (query: Record<string, unknown>) => void {
  const parsers = Object.entries<TSchema>(schema.properties).flatMap(([name, { type }]) => {
    const parse = PARSERS[type]
    return parse === undefined ? [] : [[name, parse] as const]
  })
  return (query) => {
    for (const [name, parse] of parsers) {
      const text = query[name]
      if (typeof text === 'string') query[name] = parse(text)
    }
  }
}
