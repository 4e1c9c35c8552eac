import type { Row } from './types.ts'
import { type Members, moment } from './values.ts'

/** What the OpenAPI document says of a member, or of a parameter of a list, as far as it is used here. */
interface Schema {
  enum?: unknown[]
  'x-default'?: unknown
  'x-filter'?: { operator: string; members: string[] }
  /** The kind of a member (`src/resource/kinds.ts`). */
  'x-kind'?: string
}

/** Goes down a document by these keys. */
const at = (document: unknown, ...keys: string[]) => keys.reduce((value, key) => (value as Members)[key], document)

/** Which items a list has, and in which order, by the rules of the service (docs/api.md, "Pages"). */
export interface Rules {
  matches(item: Members): boolean
  compare(a: Members, b: Members): number
  /** What the service stores for the members that a create does not name. */
  defaults: Members
}

/** The most digits after the point of a decimal number. */
const SCALE_MAX = 1000

/** The most characters of a text by which a list is sorted. */
const SORT_CHARACTERS = 200

const lower = (value: unknown) => String(value).toLowerCase()

/** A value as something that `===` and `<` compare as the service does. */
function keyOf(value: unknown, { 'x-kind': kind }: Schema): unknown {
  if (kind === 'uuid' || kind === 'reference') return lower(value)
  if (kind === 'date-time') return moment(value)
  if (kind !== 'numeric') return value
  // A double may not hold it.
  const [whole, fraction = ''] = String(value).split('.')
  return BigInt(whole + fraction.padEnd(SCALE_MAX, '0'))
}

/** The same for the order of a list. An enum has that of its declaration. */
function sortKeyOf(value: unknown, schema: Schema): unknown {
  const { enum: labels = [], 'x-kind': kind } = schema
  if (kind === 'enum') return labels.indexOf(value)
  if (kind !== 'text') return keyOf(value, schema)
  // By code points, with `A` to `Z` taken as `a` to `z`: code units have another order.
  const folded = String(value)
    .slice(0, 2 * SORT_CHARACTERS)
    .replace(/[A-Z]/g, lower)
  return Array.from(folded, (one) => String(one.codePointAt(0)).padStart(7))
    .slice(0, SORT_CHARACTERS)
    .join('')
}

const order = (x: unknown, y: unknown) => (x === y ? 0 : (x as number) < (y as number) ? -1 : 1)

type Test = (value: unknown, given: unknown, schema: Schema) => boolean

const ordered =
  (holds: (order: number) => boolean): Test =>
  (value, given, schema) =>
    value !== null && holds(order(keyOf(value, schema), keyOf(given, schema)))

const equals = ordered((order) => order === 0)

/** The filters of a declaration (`src/resource/filters.ts`), on one member. */
const OPERATORS: Record<string, Test> = {
  equals,
  oneOf: (value, given, schema) => (given as unknown[]).some((one) => equals(value, one, schema)),
  before: ordered((order) => order < 0),
  after: ordered((order) => order > 0),
  atLeast: ordered((order) => order >= 0),
  atMost: ordered((order) => order <= 0),
  has: (value, given) => Array.isArray(value) && value.includes(given),
  isNull: (value, given) => (value === null) === given,
  contains: (value, given) =>
    value !== null && ['NFC', 'NFD'].some((form) => lower(value).includes(lower(String(given).normalize(form))))
}

/** The order of a list: by a member, null last both ways, and then by the id. */
function compareBy(sort: string, members: Record<string, Schema>): Rules['compare'] {
  const direction = sort.startsWith('-') ? -1 : 1
  const name = sort.replace('-', '')
  const byId: Rules['compare'] = (a, b) => direction * order(a.id, b.id)
  // The order of creation is that of the ids.
  if (name === 'createdAt') return byId
  const keyIn = (item: Members) => sortKeyOf(item[name], members[name] as Schema)
  return (a, b) => {
    const [x, y] = [a[name] === null, b[name] === null]
    return (x || y ? Number(x) - Number(y) : direction * order(keyIn(a), keyIn(b))) || byId(a, b)
  }
}

/** Reads the rules of a list from the OpenAPI document. */
export function rulesOf(document: unknown, path: string, query: Members): Rules {
  const get = at(document, 'paths', path, 'get')
  const ref = at(get, 'responses', '200', 'content', 'application/json', 'schema', 'items', '$ref') as string
  const [, , ...keys] = ref.split('/')
  const members = at(document, 'components', ...keys, 'properties') as Record<string, Schema>
  const tests = (at(get, 'parameters') as { name: string; schema: Schema }[]).flatMap(({ name, schema }) => {
    const [filter, given] = [schema['x-filter'], query[name]]
    if (filter === undefined || given === undefined) return []
    const test = OPERATORS[filter.operator] as Test
    return [(item: Members) => filter.members.some((one) => test(item[one], given, members[one] as Schema))]
  })
  return {
    matches: (item) => tests.every((test) => test(item)),
    compare: compareBy((query.sort as string | undefined) ?? '-createdAt', members),
    defaults: Object.fromEntries(Object.entries(members).map(([name, schema]) => [name, schema['x-default'] ?? null]))
  }
}

/** The moment in a UUIDv7, as the service answers it. The service refuses any other id, so that has any moment. */
const momentOf = (id: string) =>
  new Date(Number.parseInt(id.replace('-', '').slice(0, 12), 16) || 0).toISOString().replace('Z', '+00:00')

/** The item that a create will make, as far as it is known before the answer. */
export function draftOf({ defaults }: Rules, id: string, members: Members): Row & Members {
  const createdAt = momentOf(id)
  return { ...defaults, createdAt, updatedAt: createdAt, ...members, id, version: 0 }
}
