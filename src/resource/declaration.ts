import type { Static, TSchema } from '@sinclair/typebox'
import { getTableColumns, getTableName } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import type { Config } from '../config/config.ts'
import { ConfigError } from '../config/error.ts'
import { type Constraint, constraintsOf } from '../db/constraints.ts'
import { constraintFaults } from './constraint-faults.ts'
import type { Filter, PlannedFilter } from './filters.ts'
import { BYTES_MAX, bytesOf } from './member-schemas.ts'
import { type Member, memberOf, momentOf } from './members.ts'
import { type Schemas, schemasOf } from './schemas.ts'
import { type Sort, sortFault, sortOf } from './sorts.ts'
import { columnFaults, GIVEN, type Given, givenFault, isOwned, type ResourceTable } from './table.ts'
import { isName, type Words, wordsOf } from './words.ts'

type Columns<T extends ResourceTable> = T['_']['columns']

/** The names of the columns that a declaration may show: its own, and never the owner. */
type Own<T extends ResourceTable> = Exclude<keyof Columns<T> & string, Given>

/** A schema for each member. Its values are those of the column's type. */
export type MembersOf<T extends ResourceTable> = {
  [Name in Own<T>]?: TSchema & { static: Columns<T>[Name]['_']['data'] }
}

/** What a filter or a sort may name. */
type Named<M> = (keyof M & string) | 'createdAt' | 'updatedAt'

type Reserved = 'limit' | 'cursor' | 'sort' | 'count'

/** A declaration as it is written. Nothing else says what a resource is. */
export interface Options<T extends ResourceTable, M extends MembersOf<T>> {
  /** What one item is called, in camel case: `task`. Codes, details, schemas and operation ids use it. */
  name: string
  /** The members that clients see, besides `id`, `createdAt`, `updatedAt` and `version`, and their valid values. */
  members: M & Record<Exclude<keyof M, Own<T>>, never>
  /** The filters of lists, by the names of their query parameters. */
  filters?: Record<string, Filter<Named<M>>> & { [Name in Reserved]?: never }
  /** The members that lists can be sorted by, both ways. `createdAt` always is one. */
  sorts?: readonly Named<M>[]
  /** The most items that a user may have, or where the configuration says it; null for no bound. */
  max?: number | ((config: Config) => number | null)
}

type ValueOf<T extends ResourceTable, M, Name extends keyof M> =
  | (M[Name] extends TSchema ? Static<M[Name]> : never)
  | (Name extends keyof Columns<T> ? (Columns<T>[Name]['_']['notNull'] extends true ? never : null) : never)

type ItemOf<T extends ResourceTable, M> = { [Name in keyof M]: ValueOf<T, M, Name> }

type Required<T extends ResourceTable, M> = {
  [Name in keyof M]: Name extends keyof Columns<T>
    ? Columns<T>[Name]['_'] extends { notNull: true; hasDefault: false }
      ? Name
      : never
    : never
}[keyof M]

/** The members of a new item. */
export type NewOf<T extends ResourceTable, M> = Partial<ItemOf<T, M>> & Pick<ItemOf<T, M>, Required<T, M>>

/** The members that an update changes. */
export type ChangeOf<T extends ResourceTable, M> = Partial<ItemOf<T, M>>

/** A filter of a resource, by the name of its query parameter. */
export interface NamedFilter extends PlannedFilter, Pick<Filter, 'operator' | 'members'> {
  name: string
}

declare const bodies: unique symbol

/** The types of the bodies of a resource. It is never there: it brings the types along. */
export interface Bodies<New, Change> {
  readonly [bodies]?: { new: New; change: Change }
}

/** A declaration with all that follows from it. */
export interface Declaration {
  table: ResourceTable
  /** The name of the table, by which recorded changes name their resource. */
  tableName: string
  words: Words
  members: readonly Member[]
  filters: readonly NamedFilter[]
  sorts: readonly Sort[]
  schemas: Schemas
  /** What the API shows of a row, by its names. The owner is not among it and never leaves the server. */
  publicColumns: Record<string, PgColumn>
  /** Whether a member is a JSON document. */
  hasDocuments: boolean
  /** The constraints of the table, by the names that PostgreSQL reports. */
  constraints: ReadonlyMap<string, Constraint>
  /** The most items that a user may have; null for no bound. */
  maxOf: (config: Config) => number | null
}

/** The greatest `max`, which an integer of PostgreSQL holds. */
const MAX_MAX = 999_999_999

const RESERVED: readonly string[] = ['limit', 'cursor', 'sort', 'count'] satisfies Reserved[]

/**
 * Makes all that follows from a declaration.
 *
 * @throws {ConfigError} with a sentence for each part of the declaration that does not fit its table
 */
export function declare<T extends ResourceTable, M extends MembersOf<T>>(
  table: T,
  { name, members: declared, filters = {}, sorts = [], max = () => null }: Options<T, M>
): Declaration & Bodies<NewOf<T, M>, ChangeOf<T, M>> {
  const tableName = getTableName(table)
  const words = wordsOf(name, tableName)
  const columns = getTableColumns(table) as Record<string, PgColumn>
  if (!isOwned(table)) {
    throw new ConfigError([`The resource "${name}": The table "${tableName}" is no ownedTable.`])
  }
  const faults = [...nameFaults(name, tableName), ...columnFaults(table, declared)]

  const members: Member[] = []
  for (const [member, schema] of Object.entries<TSchema>(declared)) {
    const column = Object.hasOwn(columns, member) ? columns[member] : undefined
    const made = GIVEN.has(member)
      ? [`The member "${member}" ${givenFault(member)}.`]
      : memberOf(member, column, schema)
    if (Array.isArray(made)) faults.push(...made)
    else members.push(made)
  }
  faults.push(...constraintFaults(table, members))
  if (typeof max !== 'function' && !(Number.isInteger(max) && max > 0 && max <= MAX_MAX)) {
    faults.push(`The max ${max} must be a whole number from 1 to ${MAX_MAX}.`)
  }
  const bytes = members.reduce((sum, { schema }) => sum + bytesOf(schema), 0)
  if (bytes > BYTES_MAX) faults.push(`An item can have ${bytes} bytes of JSON, and the most is ${BYTES_MAX}.`)

  const known = new Map([
    ...members.map((member) => [member.name, member] as const),
    ['createdAt', momentOf('createdAt', table.createdAt)],
    ['updatedAt', momentOf('updatedAt', table.updatedAt)]
  ])
  const planned = Object.entries<Filter>(filters).flatMap(([parameter, filter]) => {
    const found = filterFaults(parameter, filter, known)
    faults.push(...found)
    if (found.length > 0) return []
    const named = filter.members.map((one) => known.get(one) as Member)
    const { operator, members } = filter
    return [{ name: parameter, operator, members, ...filter.plan(named, parameter) }]
  })
  const orders = [...new Set<string>(['createdAt', ...sorts])].flatMap((one) => {
    const member = known.get(one)
    const fault = sortFault(member)
    if (fault !== undefined) faults.push(`The sort "${one}" ${fault}.`)
    return member === undefined || fault !== undefined
      ? []
      : [sortOf(member, false, table.id), sortOf(member, true, table.id)]
  })
  if (faults.length > 0) throw new ConfigError(faults.map((fault) => `The resource "${name}": ${fault}`))

  return {
    table,
    tableName,
    words,
    members,
    filters: planned,
    sorts: orders,
    schemas: schemasOf(members, planned, orders, words),
    publicColumns: {
      id: table.id,
      ...Object.fromEntries(members.map(({ name, column }) => [name, column])),
      createdAt: table.createdAt,
      updatedAt: table.updatedAt,
      version: table.version
    },
    hasDocuments: members.some(({ kind }) => kind.name === 'document'),
    constraints: new Map(constraintsOf(table).map((one) => [one.name, one])),
    maxOf: typeof max === 'number' ? () => max : max
  }
}

const TABLE_NAME = /^[a-z][a-z0-9]*(?:_[a-z0-9]+)*$/

/** What is wrong with the names of a resource and of its table, of which others are made. */
export function* nameFaults(name: string, tableName: string): Generator<string> {
  // An event has these beside the item, which it calls by its name.
  if (!isName(name) || ['resource', 'id', 'version'].includes(name)) {
    yield `The name "${name}" must be another: letters and digits, such as bankAccount.`
  }
  if (!TABLE_NAME.test(tableName)) yield `The table "${tableName}" needs a name in snake case, such as bank_accounts.`
}

/** What is wrong with a filter. */
function filterFaults(parameter: string, filter: Filter, known: ReadonlyMap<string, Member>): string[] {
  if (!isName(parameter) || RESERVED.includes(parameter)) {
    return [`The filter "${parameter}" needs another name: letters and digits, and none of ${RESERVED.join(', ')}.`]
  }
  return filter.members.flatMap((name) => {
    const member = known.get(name)
    const fault = member === undefined ? 'is no member' : filter.fault(member)
    return fault === undefined ? [] : [`The filter "${parameter}" does not fit: "${name}" ${fault}.`]
  })
}
