import { type TSchema, type TUnsafe, Type } from '@sinclair/typebox'
import { UUID_PATTERN } from '../http/uuid.ts'
import { cursorLength } from './cursor.ts'
import type { Filter, PlannedFilter } from './filters.ts'
import { type Member, orNull } from './members.ts'
import { DEFAULT_LIMIT, DEFAULT_SORT, type Query } from './query.ts'
import type { Sort } from './sorts.ts'
import type { Words } from './words.ts'

const LIMIT_MAX = 100

/** The most that a batch does. */
export const MAX_OPERATIONS = 100

/** The values of members, by their names. */
export type Values = Record<string, unknown>

interface Update {
  id: string
  /** The version that the item must have. */
  version?: number
  change: Values
}

type Removal = Omit<Update, 'change'>

/** What one operation asks for. */
export type Asked = { create: Values } | { update: Update } | { delete: Removal }

/** What a batch asks for: items to create, to update and to delete, in this order. */
export interface Batch {
  create?: Values[]
  update?: Update[]
  delete?: Removal[]
}

/** The schemas of a resource. */
export interface Schemas {
  /** An item as the API answers it. `src/db/json.ts` writes this JSON; the tests hold it to this schema. */
  item: TSchema
  /** The body of a create. What is not named here (an owner, say) is refused, not ignored. */
  create: TUnsafe<Values>
  /** Bodies of a create, for the document. */
  examples: Values[]
  /** The body of an update: the members to change; an absent one keeps its value (RFC 7396 for PATCH, and for PUT). */
  change: TUnsafe<Values>
  query: TUnsafe<Query>
  /** What each kind of operation of a batch asks for. */
  operations: Record<'create' | 'update' | 'delete', TSchema>
  batch: TUnsafe<Batch>
  batchResult: TSchema
}

const UUID = '019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708'
const Moment = { type: 'string', format: 'date-time', examples: ['2026-11-22T17:11:08.123456+00:00'] }
const Id = Type.String({ pattern: UUID_PATTERN, examples: [UUID] })
/** The id that a create chooses. It has no example, which would soon be too old. */
const ChosenId = Type.Optional(
  Type.String({
    format: 'recent-uuidv7',
    description:
      'A UUIDv7 of about now (a day either way), which makes the create safe to repeat; made for you unless sent'
  })
)
const Version = Type.Optional(
  Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1, description: 'The version that it must have' })
)

/** What the document tells `rowkeeper/client` of a member: how it is compared, and what a create without it stores. */
function hints({ column, kind, sqlDefault }: Member) {
  const isValue = column.default !== undefined && sqlDefault === undefined
  return { 'x-kind': kind.name, ...(isValue && { 'x-default': column.default }) }
}

/** The schema of a member in an answer. */
function answered(member: Member): TSchema {
  if (member.kind.name !== 'date-time') return Type.Unsafe({ ...orNull(member), ...hints(member) })
  const { nullable } = member
  return Type.Unsafe({ ...orNull({ nullable, schema: Moment }), description: 'In UTC', ...hints(member) })
}

/** A filter of a list, with the name of its query parameter. */
type NamedFilter = PlannedFilter & Pick<Filter, 'operator' | 'members'> & { name: string }

/** The schema of a query parameter, with what the filter compares, for `rowkeeper/client`. */
const filterOf = ({ schema, operator, members }: NamedFilter) =>
  Type.Optional(Type.Unsafe({ ...schema, 'x-filter': { operator, members } }))

const itemOf = (members: readonly Member[], { title }: Words) =>
  Type.Object(
    {
      id: Type.String({ format: 'uuid', description: 'UUIDv7 (RFC 9562)', examples: [UUID] }),
      ...Object.fromEntries(members.map((member) => [member.name, answered(member)])),
      createdAt: Type.Unsafe(Moment),
      updatedAt: Type.Unsafe(Moment),
      version: Type.Integer({ minimum: 1, description: 'Grows by one with each update; the `ETag` is made of it' })
    },
    { title, additionalProperties: false }
  )

/** The schema of a body that gives these members a value. */
function bodyOf(members: readonly Member[], title: string, isCreate: boolean) {
  const properties = members.map((member) => {
    const schema = Type.Unsafe(orNull(member))
    return [member.name, isCreate && member.required ? schema : Type.Optional(schema)]
  })
  const options = { title, additionalProperties: false, ...(isCreate ? {} : { minProperties: 1 }) }
  return Type.Object({ ...(isCreate && { id: ChosenId }), ...Object.fromEntries(properties) }, options)
}

/** Bodies that create an item, of the examples of its members: one, or none when a required member has no example. */
function examplesOf(members: readonly Member[]): Values[] {
  const hasExample = ({ schema }: Member) => Array.isArray(schema.examples)
  if (members.some((member) => member.required && !hasExample(member))) return []
  const shown = members.filter(hasExample).map(({ name, schema }) => [name, (schema.examples as unknown[])[0]])
  return [Object.fromEntries(shown)]
}

function queryOf(filters: readonly NamedFilter[], sorts: readonly Sort[], { plural }: Words) {
  const optional = Object.fromEntries(filters.map((filter) => [filter.name, filterOf(filter)]))
  const nullable = sorts.flatMap(({ key, descending }) =>
    key?.member.nullable && !descending ? [key.member.name] : []
  )
  return Type.Object({
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: LIMIT_MAX, default: DEFAULT_LIMIT, description: `At most so many ${plural}` })
    ),
    cursor: Type.Optional(
      Type.String({
        pattern: '^[\\w-]+$',
        maxLength: cursorLength(sorts),
        description: 'From the `Link` of the page before; opaque, and good for the same filter and order only'
      })
    ),
    sort: Type.Optional(
      Type.Unsafe<string>({
        type: 'string',
        enum: sorts.map(({ name }) => name),
        default: DEFAULT_SORT,
        description:
          'The order, the other way round with `-`. Text is in the order of its code points, ' +
          '`A` to `Z` taken as `a` to `z`' +
          (nullable.length > 0 ? `; ${plural} without \`${nullable.join('` or `')}\` come last both ways` : '')
      })
    ),
    ...optional,
    count: Type.Optional(
      Type.Literal('exact', { description: 'Asks for `X-Total-Count`, which costs a statement of its own' })
    )
  })
}

const operationsOf = (create: TSchema, change: TSchema): Schemas['operations'] => ({
  create,
  update: Type.Object({ id: Id, version: Version, change }, { additionalProperties: false }),
  delete: Type.Object({ id: Id, version: Version }, { additionalProperties: false })
})

function batchOf({ create, update, delete: remove }: Schemas['operations']) {
  const many = (items: TSchema) => Type.Optional(Type.Array(items, { minItems: 1, maxItems: MAX_OPERATIONS }))
  return Type.Object(
    { create: many(create), update: many(update), delete: many(remove) },
    { additionalProperties: false, minProperties: 1, description: `Up to ${MAX_OPERATIONS} operations in all` }
  )
}

/** Makes the schemas of a resource. */
export function schemasOf(
  members: readonly Member[],
  filters: readonly NamedFilter[],
  sorts: readonly Sort[],
  words: Words
): Schemas {
  const { title } = words
  const item = itemOf(members, words)
  const create = bodyOf(
    members.filter(({ setBy }) => setBy !== 'server'),
    `New${title}`,
    true
  )
  const change = bodyOf(
    members.filter(({ setBy }) => setBy === 'client'),
    `${title}Change`,
    false
  )
  const operations = operationsOf(create, change)
  const batchResult = Type.Object(
    { created: Type.Array(item), updated: Type.Array(item), deleted: Type.Array(Type.String({ format: 'uuid' })) },
    { additionalProperties: false }
  )
  return {
    item,
    create: Type.Unsafe<Values>(create),
    examples: examplesOf(members.filter(({ setBy }) => setBy !== 'server')),
    change: Type.Unsafe<Values>(change),
    query: Type.Unsafe<Query>(queryOf(filters, sorts, words)),
    operations,
    batch: Type.Unsafe<Batch>(batchOf(operations)),
    batchResult
  }
}
