import type { TSchema } from '@sinclair/typebox'
import { validatorCompiler } from '../http/validation.ts'
import type { Declaration } from './declaration.ts'
import type { Keywords } from './kind.ts'

const fits = (schema: Keywords, value: unknown) =>
  validatorCompiler({ schema: schema as TSchema, method: 'POST', url: '', httpPart: 'body' })(value) === true

/** Text, as long as a schema asks for. */
const sized = (text: string, { minLength = 0, maxLength }: Partial<TSchema>): string =>
  text.slice(0, maxLength).padEnd(minLength, '.')

/** A value that fits a schema, always the same one; undefined when none of those that we try does. */
export function exampleOf(schema: Keywords, text: string): unknown {
  const { examples = [], minimum = 1, maximum = 1, items } = schema as Partial<TSchema>
  // A JSON document, which has no type, gets the array.
  const array = [items === undefined ? text : exampleOf(items, text)]
  return [...examples, array, sized(text, schema), 1, minimum, maximum, '1', '1.00'].find((value) =>
    fits(schema, value)
  )
}

/**
 * The body of a create with what it needs; undefined when it refers to another item, or when we find no value for a
 * member.
 */
export function exampleBody({ members, constraints }: Declaration): Record<string, unknown> | undefined {
  const references = [...constraints.values()].flatMap((one) => (one.kind === 'reference' ? one.members : []))
  const required = members.filter((member) => member.required)
  if (required.some(({ name }) => references.includes(name))) return undefined
  const values = required.map(({ name, schema }) => [name, exampleOf(schema, 'Hello')] as const)
  return values.some(([, value]) => value === undefined) ? undefined : Object.fromEntries(values)
}
