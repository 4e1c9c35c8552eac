import fc from 'fast-check'
import { validatorCompiler } from '../../src/http/validation.ts'
import type { Declaration } from '../../src/resource/declaration.ts'
import type { Keywords } from '../../src/resource/kind.ts'
import type { Member } from '../../src/resource/members.ts'
import { type Body, distinct, marks, type Referable, referableBy } from './constraints.ts'

/** The length up to which a text is compared when a list is sorted. */
const START = 200

/** Texts that the service could mistake for something else, or for each other. */
const TEXTS = [
  ...['', 'a', 'A', 'b', 'B', 'z', '_', '%', '\\', '"', ',', '{}', '0', '1', '-1', 'NULL', 'ß', '🥛', 'aB z', '-', ' '],
  ...['{"id":"', '","version":1}', ',\n{"id":"'],
  // A letter with an accent in its two forms.
  ...['é', 'e\u0301'],
  // They differ in what is compared, and beyond it.
  ...['a', 'b'].map((end) => '🥛'.repeat(START - 1) + end),
  ...['za', 'zb'].map((end) => '🥛'.repeat(START - 1) + end)
]

// No double tells the two long ones apart.
const NUMERALS = [
  '1.50',
  '-0.01',
  '0.00',
  '0.1',
  '0.10',
  '12345678901234567890',
  '12345678901234567891',
  '9999999999.99'
]
const UUIDS = ['ABCDEFAB-CDEF-4ABC-8DEF-ABCDEFABCDEF', '00000000-0000-0000-0000-000000000000']
const DOCUMENTS = [
  ...[{}, [], 0, false, '', 'null', ',{"id":"', 1e308, '\n'],
  ...[[{ id: 'x' }, { id: 'y' }], [0, { id: 'x' }], { a: [null, { id: 'x', version: 1 }] }]
]

const OFFSETS = ['Z', '+00:00', '-07:00', '+05:30']
const DIGITS = ['', '.5', '.123456', '.999999']
const DAYS = ['2030-01-31', '1999-12-31', '2028-02-29', '0002-01-01']
const TIMES = ['09:00:00', '23:59:59']
const dateTimes = fc
  .tuple(fc.constantFrom(...DAYS), fc.constantFrom(...TIMES), fc.constantFrom(...DIGITS), fc.constantFrom(...OFFSETS))
  .map(([day, time, digits, offset]) => `${day}T${time}${digits}${offset}`)
const DATE_TIMES = DAYS.flatMap((day, i) =>
  TIMES.map((time, j) => `${day}T${time}${DIGITS[(i + j) % DIGITS.length]}${OFFSETS[(i + 2 * j) % OFFSETS.length]}`)
)

const among = (name: string, schema: Keywords, least: number) => Number(schema[name] ?? least)

const rangeOf = (schema: Keywords) => {
  const [least, most] = [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]
  const min = Math.max(among('minimum', schema, least), among('exclusiveMinimum', schema, least))
  return { min, max: Math.min(among('maximum', schema, most), among('exclusiveMaximum', schema, most)) }
}

/** Values at the bounds of a JSON Schema, and those that code is likely to get wrong. They may not all fit it. */
function candidates(schema: Keywords): unknown[] {
  if ('const' in schema) return [schema.const]
  if (Array.isArray(schema.enum)) return schema.enum
  if (Array.isArray(schema.anyOf)) return schema.anyOf.flatMap(candidates)
  const { type, format } = schema
  const { min, max } = rangeOf(schema)
  if (type === 'boolean') return [true, false]
  if (type === 'integer') return [min, max, 0, 1, -1, 7]
  if (type === 'number') return [min, max, 0, 1, -1, 7, 0.1, 5e-324, 1e21]
  if (type === 'string') {
    return format === 'date-time' ? DATE_TIMES : format === 'date' ? DAYS : [...TEXTS, ...NUMERALS, ...UUIDS]
  }
  if (type === 'array') {
    const [elements, size] = [telling(schema.items as Keywords), among('maxItems', schema, 5)]
    return Array.from({ length: Math.ceil(elements.length / size) + 1 }, (_, i) =>
      elements.slice((i - 1) * size, i * size)
    )
  }
  return type === undefined ? DOCUMENTS : []
}

const validates = (schema: Keywords) => {
  const validate = validatorCompiler({ schema: schema as never, method: 'POST', url: '/', httpPart: 'body' })
  return (value: unknown) => validate(value) === true
}

/** How many values are drawn where no candidate fits, as with a pattern of its own. */
const DRAWN = 20

const fitting = (schema: Keywords) => candidates(schema).filter(validates(schema))

/** Those of the candidates that fit the schema; if none does, its examples and some that are drawn. */
export function telling(schema: Keywords): unknown[] {
  const found = fitting(schema)
  if (found.length > 0) return found
  const drawn = fc.sample(drafts(schema), { numRuns: DRAWN, seed: DRAWN }).filter(validates(schema))
  return [...new Set([...((schema.examples ?? []) as unknown[]), ...drawn])]
}

const someOf = (schema: Keywords, others: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> => {
  const some = fitting(schema)
  return some.length === 0 ? others : fc.oneof(fc.constantFrom(...some), others)
}

/** The patterns of a schema, those of `allOf` too. */
const patternsOf = ({ pattern, allOf = [] }: Keywords): string[] =>
  [pattern, ...(allOf as Keywords[]).map(({ pattern }) => pattern)].filter((one) => typeof one === 'string')

function strings(schema: Keywords): fc.Arbitrary<unknown> {
  if (schema.format === 'date-time') return dateTimes
  if (schema.format === 'date') return fc.constantFrom(...DAYS)
  const patterns = patternsOf(schema)
  // fast-check makes no text for a lookahead. What does not fit is left out later.
  const matching = (pattern: string) => fc.stringMatching(new RegExp(pattern.replace(/\(\?![^$]*\$\)/, '')))
  if (patterns.length > 0) return someOf(schema, fc.oneof(...patterns.map(matching)))
  const minLength = among('minLength', schema, 0)
  const maxLength = Math.min(among('maxLength', schema, minLength + 40), minLength + 40)
  return someOf(schema, fc.string({ minLength, maxLength, unit: 'grapheme' }))
}

function numbers(schema: Keywords, isInteger: boolean): fc.Arbitrary<unknown> {
  const { min, max } = rangeOf(schema)
  if (!isInteger && schema.multipleOf === undefined) return someOf(schema, fc.double({ min, max, noNaN: true }))
  const step = among('multipleOf', schema, 1)
  const steps = fc.integer({ min: Math.ceil(min / step), max: Math.floor(max / step) })
  return someOf(
    schema,
    steps.map((n) => n * step)
  )
}

/** Values of a JSON Schema, which may not all fit it: its examples, and others. */
function drafts({ examples, ...schema }: Keywords): fc.Arbitrary<unknown> {
  if (!Array.isArray(examples)) return others(schema)
  return fc.oneof({ arbitrary: others(schema), weight: 4 }, fc.constantFrom(...examples))
}

function others(schema: Keywords): fc.Arbitrary<unknown> {
  if ('const' in schema) return fc.constant(schema.const)
  if (Array.isArray(schema.enum)) return fc.constantFrom(...schema.enum)
  if (Array.isArray(schema.anyOf)) return fc.oneof(...schema.anyOf.map(drafts))
  const { type, items, properties = {}, required = [] } = schema
  if (type === 'boolean') return fc.boolean()
  if (type === 'integer' || type === 'number') return numbers(schema, type === 'integer')
  if (type === 'string') return strings(schema)
  if (type === 'null') return fc.constant(null)
  if (type === 'array') {
    const minLength = among('minItems', schema, 0)
    const bounds = { minLength, maxLength: Math.min(among('maxItems', schema, minLength + 5), minLength + 5) }
    const elements = drafts((items ?? {}) as Keywords)
    return schema.uniqueItems === true
      ? fc.uniqueArray(elements, { ...bounds, selector: (value) => JSON.stringify(value) })
      : fc.array(elements, bounds)
  }
  if (type !== 'object') return someOf(schema, fc.jsonValue({ maxDepth: 2 }))
  const members = Object.entries(properties as Record<string, Keywords>).map(([name, one]) => [name, drafts(one)])
  return fc.record(Object.fromEntries(members), { requiredKeys: required as never[] })
}

/** Valid values of a JSON Schema, as a client can send them. */
function valuesOf(schema: Keywords): fc.Arbitrary<unknown> {
  // JSON has no -0.
  const sent = drafts(schema).map((value) => JSON.parse(JSON.stringify(value)))
  const fits = validates(schema)
  // A filter that lets nothing through would never end.
  if (fc.sample(sent, { numRuns: 500, seed: 1 }).some(fits)) return sent.filter(fits)
  throw new Error(`No value that fits was found: give this schema some examples. ${JSON.stringify(schema)}`)
}

/** Valid values of a member, null included where it may be null. */
const valuesOfMember = ({ schema, nullable }: Member): fc.Arbitrary<unknown> =>
  nullable ? fc.option(valuesOf(schema), { freq: 4 }) : valuesOf(schema)

/** What the bodies of a resource must keep to, besides its schemas. */
export interface Bounds {
  referable?: Referable
  /** Makes a body keep the checks of the table. */
  keepChecks?: (body: Body) => Body
}

const NONE: Referable = new Map()

/** Bodies of a resource that create and change items, made from its schemas, which keep the constraints of its table. */
export function bodiesOf(declaration: Declaration, { referable = NONE, keepChecks = (body) => body }: Bounds = {}) {
  const valuesFor = (member: Member): fc.Arbitrary<unknown> => {
    const ids = referableBy(declaration, referable, member.name)
    if (ids === undefined) return valuesOfMember(member)
    const given = ids.flatMap((id) => [id, id.toUpperCase()])
    return fc.constantFrom(...given, ...(member.nullable ? [null] : []))
  }
  const bodies = (members: Member[], requiredKeys: string[], isCreate: boolean): fc.Arbitrary<Body> => {
    const arbitraries = Object.fromEntries(members.map((member) => [member.name, valuesFor(member)] as const))
    const drafts = fc.record(arbitraries, { requiredKeys, noNullPrototype: true }) as fc.Arbitrary<Body>
    return fc.tuple(drafts, marks).map(([body, mark]) => keepChecks(distinct(declaration, body, mark, isCreate)))
  }
  const [atCreation, ever] = [
    declaration.members.filter(({ setBy }) => setBy !== 'server'),
    declaration.members.filter(({ setBy }) => setBy === 'client')
  ]
  const required = atCreation.filter(({ required }) => required).map(({ name }) => name)
  return {
    creates: bodies(atCreation, required, true),
    changes: bodies(ever, [], false).filter((body) => Object.keys(body).length > 0)
  }
}

/** Queries of the lists of a resource: an order, a page size, and any of its filters. */
export function queriesOf(declaration: Declaration, referable = NONE): fc.Arbitrary<Record<string, unknown>> {
  const { filters, sorts, members } = declaration
  const orders = {
    sort: fc.constantFrom(...sorts.map(({ name }) => name)),
    limit: fc.integer({ min: 1, max: 7 })
  }
  if (filters.length === 0) return fc.record(orders)
  const given = filters.map(({ name, operator, schema, members: [member = ''] }) => {
    const ids = operator === 'isNull' ? [] : (referableBy(declaration, referable, member) ?? [])
    if (ids.length > 0) return fc.record({ [name]: fc.constantFrom(...ids) as fc.Arbitrary<unknown> })
    // A parameter has no examples of its own.
    const examples = members.find(({ name }) => name === member)?.schema.examples
    const shown = operator === 'oneOf' ? { ...schema, items: { ...schema.items, examples } } : { ...schema, examples }
    const few =
      operator === 'contains' ? fc.constantFrom('a', 'B', '%', '_', '\\', 'ab', 'é', 'e\u0301') : valuesOf(shown)
    return fc.record({ [name]: few as fc.Arbitrary<unknown> })
  })
  // Most queries with all filters at once would find nothing.
  return fc.oneof(
    fc.record(orders),
    fc.tuple(fc.record(orders), fc.oneof(...given)).map(([order, one]) => ({ ...order, ...one })),
    fc.tuple(fc.record(orders), fc.oneof(...given), fc.oneof(...given)).map((all) => Object.assign({}, ...all))
  )
}

/** A query as a URL has it. */
export const queryString = (query: Record<string, unknown>) =>
  new URLSearchParams(
    Object.entries(query).flatMap(([name, value]) => [value].flat().map((one): [string, string] => [name, `${one}`]))
  ).toString()

/** The value of a member as it is answered. */
export function answered({ kind }: Member, value: unknown): unknown {
  if (typeof value !== 'string') return value
  if (kind.name === 'uuid' || kind.name === 'reference') return value.toLowerCase()
  if (kind.name !== 'date-time') return value
  const [, fraction = ''] = /\.(\d+)/.exec(value) ?? []
  const digits = fraction.replace(/0+$/, '')
  return `${new Date(value).toISOString().slice(0, 19)}${digits === '' ? '' : `.${digits}`}+00:00`
}
