import { OptionalKind } from '@sinclair/typebox'
import { BODY_LIMIT_BYTES, MAX_VALUES } from '../http/json-body.ts'
import { DEPTH_MAX, validatorOf } from '../http/validation.ts'
import type { Keywords, Kind } from './kind.ts'

/** The values of a literal or of a union of literals; undefined for another schema. */
function literalsOf(schema: Keywords): unknown[] | undefined {
  if ('const' in schema) return [schema.const]
  const { anyOf } = schema
  if (!Array.isArray(anyOf) || anyOf.length === 0) return undefined
  const isLiteral = (one: unknown) => typeof one === 'object' && one !== null && 'const' in one
  return anyOf.every(isLiteral) ? anyOf.map((one) => one.const) : undefined
}

/** The JSON type of values; undefined when they have several. */
function typeOf(values: readonly unknown[]): string | undefined {
  if (values.every(Number.isInteger)) return 'integer'
  const types = new Set(values.map((value) => typeof value))
  return types.size === 1 ? [...types][0] : undefined
}

/** A literal or a union of literals as one `enum`, so that a validation error says once what is wrong. */
export function withEnum(schema: Keywords): Keywords {
  const values = literalsOf(schema)
  if (values === undefined) return schema
  const { anyOf, const: only, type: _one, ...rest } = schema
  const type = typeOf(values)
  return { ...rest, ...(type !== undefined && { type }), enum: values }
}

/** What the document says of the values of a kind, unless the declaration says it. */
function annotationsOf({ name, schema }: Kind, declared: Keywords): Keywords {
  const labels = declared.enum ?? schema.enum
  if (Array.isArray(labels)) return { examples: [labels[0]] }
  if (name === 'boolean') return { examples: [false] }
  if (name === 'date') return { examples: ['2030-01-31'] }
  if (name === 'uuid') return { examples: ['019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708'] }
  if (name === 'date-time') {
    return { description: 'RFC 3339, with an offset; answered in UTC', examples: ['2030-01-31T09:00:00Z'] }
  }
  return {}
}

/** The schema of a kind, narrowed by what the declaration says. It has no faults (`faultsOf`). */
export function narrowed(kind: Kind, declared: Keywords): Keywords {
  const merged = { ...annotationsOf(kind, declared), ...kind.schema, ...declared }
  // A schema has one format and one pattern. Those of the kind are kept beside the declared ones.
  const hidden = ['format', 'pattern'].filter((name) => name in kind.schema && merged[name] !== kind.schema[name])
  if (hidden.length > 0) {
    const { allOf = [] } = declared
    merged.allOf = [...(allOf as Keywords[]), ...hidden.map((name) => ({ [name]: kind.schema[name] }))]
  }
  // The declared bound is kept if it is the narrower one.
  if (Number(declared.exclusiveMinimum) >= Number(kind.schema.minimum) && !('minimum' in declared))
    delete merged.minimum
  if (Number(declared.exclusiveMaximum) <= Number(kind.schema.maximum) && !('maximum' in declared))
    delete merged.maximum
  if (kind.element !== undefined) merged.items = narrowed(kind.element, withEnum(declared.items as Keywords))
  return merged
}

/** What the column says, so that a schema must not. */
const COLUMN_SAYS: Record<string, string> = {
  default: 'the default of a member is that of its column',
  nullable: 'a member may be null if its column may'
}

/** Keywords whose values are JSON and no schemas. */
const VALUES = new Set(['enum', 'const', 'examples', 'default'])

/** A keyword, `$ref` or `$id`, by which a schema needs another one. */
function referenceIn(schema: object): string | undefined {
  for (const [name, value] of Object.entries(schema)) {
    if (name.startsWith('$') && typeof value === 'string') return name
    const found = typeof value !== 'object' || VALUES.has(name) ? undefined : referenceIn(value ?? {})
    if (found !== undefined) return found
  }
  return undefined
}

/** The most that a declaration can allow. A body of more values is refused (`src/http/json-body.ts`). */
const MOST: Record<string, number> = { maxDepth: DEPTH_MAX, maxItems: MAX_VALUES / 2 }

/** How a bound of a schema compares with that of its column: 1 for a greatest value, -1 for a least one. */
const RANGE = { minimum: -1, maximum: 1, maxLength: 1 }

/** What is wrong with the keywords of a schema. */
function* keywordFaults(kind: Kind, schema: Keywords): Generator<string> {
  const { type, format } = kind.schema
  for (const [name, says] of Object.entries(COLUMN_SAYS)) {
    if (name in schema) yield `has a schema with the keyword ${name}, and ${says}`
  }
  if (type !== undefined && schema.type !== type && !(type === 'number' && schema.type === 'integer')) {
    yield `has a schema of type ${schema.type ?? 'none'}, and its column holds the type ${type}`
    return
  }
  if (format !== undefined && format !== 'text' && 'format' in schema && schema.format !== format) {
    yield `has the format ${schema.format}, and its column holds the format ${format}`
  }
  for (const bound of 'enum' in schema ? [] : kind.bounds) {
    if (!Number.isSafeInteger(schema[bound])) yield `needs ${bound}, because nothing unbounded can be declared`
  }
  for (const [name, most] of Object.entries(MOST)) {
    if (Number(schema[name]) > most) yield `has the ${name} ${schema[name]}, and the most is ${most}`
  }
  for (const [name, beyond] of Object.entries(RANGE)) {
    const [own, most] = [schema[name], kind.schema[name]]
    if (typeof own === 'number' && typeof most === 'number' && (own - most) * beyond > 0) {
      yield `has the ${name} ${own}, and its column the ${name} ${most}`
    }
  }
}

/** What is wrong with the parts of a schema. */
function* partFaults(kind: Kind, schema: Keywords): Generator<string> {
  yield* keywordFaults(kind, schema)
  const holds = validatorOf(kind.schema)
  for (const value of (schema.enum as unknown[] | undefined) ?? []) {
    if (!holds(value)) yield `has the value ${JSON.stringify(value)}, which its column does not have`
  }
  const { items } = schema
  if (kind.element === undefined || schema.type !== 'array') return
  if (typeof items !== 'object' || Array.isArray(items)) yield 'needs one schema for its items'
  else for (const fault of partFaults(kind.element, withEnum(items as Keywords))) yield `has items: each ${fault}`
}

/**
 * The most bytes that a member can have in a request, and all members of an item together. A body has room for their
 * names too, and a page of 100 items, or the answer to a batch, has a bound.
 */
export const BYTES_MAX = BODY_LIMIT_BYTES - 8192

/** No number, boolean, date or UUID is longer. */
const WORD_BYTES = 40

/** The bytes that JSON needs at least for the largest value of a schema. */
export function bytesOf({ enum: values, maxBytes, maxLength, maxItems, items }: Keywords): number {
  if (Array.isArray(values)) return Math.max(...values.map((value) => JSON.stringify(value).length))
  // A document may have bounds of an array too.
  if (maxBytes !== undefined) return Number(maxBytes)
  if (maxItems !== undefined) return Number(maxItems) * (bytesOf(items as Keywords) + 1)
  return Number(maxLength ?? WORD_BYTES)
}

/** What is wrong with the schema of a member, in words that follow its name. */
export function faultsOf(kind: Kind, schema: Keywords): string[] {
  if (OptionalKind in schema) return ['is wrapped in Type.Optional, and its column says whether a create needs it']
  const reference = referenceIn(schema)
  if (reference !== undefined) return [`has a schema with ${reference}, and a schema must not need another one`]
  const faults = [...partFaults(kind, schema)]
  if (faults.length > 0) return faults
  const whole = narrowed(kind, schema)
  try {
    validatorOf(whole)
  } catch (error) {
    return [`has a schema that is not valid: ${(error as Error).message}`]
  }
  const bytes = bytesOf(whole)
  return bytes > BYTES_MAX ? [`can have ${bytes} bytes of JSON, and the most is ${BYTES_MAX}`] : []
}
