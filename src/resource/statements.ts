import { eq, type SQL, sql } from 'drizzle-orm'
import { type JsonRow, jsonRows } from '../db/json.ts'
import type { OwnedBy } from '../db/owned.ts'
import type { Run, Transaction, Within } from '../db/transaction.ts'
import type { Declaration } from './declaration.ts'
import type { Member } from './members.ts'
import type { ResourceTable } from './table.ts'

// Placeholders have a prefix, so that no member has the name of another placeholder, such as `id`.
export const placeholderOf = ({ name }: Member) => `member.${name}`
export const flagOf = ({ name }: Member) => `set.${name}`

/** The value of a member in a new row, with a cast if that is asked for or needed. */
function inserted(member: Member, withCast: boolean): SQL {
  const value = sql`${sql.placeholder(placeholderOf(member))}`
  // In a `values` list PostgreSQL knows the type of a parameter by its column.
  const { kind, sqlDefault } = member
  const cast = sql`${value}::${sql.raw(kind.cast)}`
  if (sqlDefault !== undefined) return sql`coalesce(${cast}, ${sqlDefault})`
  return withCast || kind.name === 'document' ? cast : value
}

/**
 * The new value of a member in a partial update. One statement is prepared once, whatever members an update has: null
 * stands for a member that is absent, and where the column may itself be null, a placeholder says whether it is set.
 */
function patched(member: Member): SQL {
  const { column, kind, nullable } = member
  const value = sql`${sql.placeholder(placeholderOf(member))}::${sql.raw(kind.cast)}`
  if (!nullable) return sql`coalesce(${value}, ${column})`
  return sql`case when ${sql.placeholder(flagOf(member))}::boolean then ${value} else ${column} end`
}

/** What every update changes besides its members. */
export const nextVersion = (table: ResourceTable) => ({
  // The clock of the creation may be ahead.
  updatedAt: sql`greatest(now(), ${table.createdAt})`,
  version: sql`${table.version} + 1`
})

type Row = Record<string, SQL>

/** The values of a new row. */
function newRow(members: readonly Member[], withCast: boolean): Row {
  const value = (name: string, type: string) =>
    withCast ? sql`${sql.placeholder(name)}::${sql.raw(type)}` : sql`${sql.placeholder(name)}`
  // By the clock that made the id, or "newest first" would disagree with what is shown.
  const moment = value('createdAt', 'timestamptz')
  const row: Row = { id: value('id', 'uuid'), createdAt: moment, updatedAt: moment }
  for (const member of members) row[member.name] = inserted(member, withCast)
  return row
}

/** Prepares the statements on the items of one owner. */
export function prepareItems(owned: OwnedBy, { table, members, publicColumns }: Declaration) {
  const own = owned(table, { recorded: true })
  const { id, version, createDigest } = table
  const { fields, asRows } = jsonRows(publicColumns)
  const byId = eq(id, sql.placeholder('id'))
  const idIn = sql`${id} = any(${sql.placeholder('ids')}::uuid[])`
  // In the statement itself: between a look at the version and the write somebody else could have written.
  const [ifMatch, ifNoneMatch] = [sql.placeholder('ifMatch'), sql.placeholder('ifNoneMatch')]
  // A list that is null asks for nothing.
  const versionMatches = sql`coalesce(${version} = any(${ifMatch}::int[]), true)
  and coalesce(${version} <> all(${ifNoneMatch}::int[]), true)`
  const [row, castRow] = [newRow(members, false), newRow(members, true)]
  const digest = sql`${sql.placeholder('digest')}`
  const change: Row = nextVersion(table)
  for (const member of members) change[member.name] = patched(member)
  const named = { createDigest: digest }

  return {
    get: own.prepare((own) => asRows(own.select(fields, byId))),
    getAll: own.prepare((own) => asRows(own.select(fields, idIn))),
    lock: own.prepare((own) => own.select({ id }, idIn).orderBy(id).for('update')) as Run<{ id: string }[]>,
    lockOne: own.prepare((own) => own.select({ id }, byId, versionMatches).for('update')) as Run<{ id: string }[]>,
    insert: own.prepare((own) => asRows(own.insert(row as never).returning(fields))),
    insertIfRoom: own.prepare((own) => asRows(own.insertIfRoom(castRow).returning(fields))),
    // Creates that chose the id. They return nothing when there is a row of this id. The second does the same when
    // there is one that is alike in a unique set.
    insertNamed: own.prepare((own) =>
      asRows(own.insert({ ...row, ...named } as never, 'unless there').returning(fields))
    ),
    insertUnlike: own.prepare((own) =>
      asRows(own.insert({ ...row, ...named } as never, 'unless alike').returning(fields))
    ),
    insertNamedIfRoom: own.prepare((own) =>
      asRows(own.insertIfRoom({ ...castRow, createDigest: sql`${digest}::text` }, 'unless there').returning(fields))
    ),
    sameCreate: own.prepare((own) => asRows(own.select(fields, byId, sql`${createDigest} = ${digest}`))),
    update: own.prepare((own) => asRows(own.update(change as never, byId, versionMatches).returning(fields))),
    remove: own.prepare((own) => own.delete(byId, versionMatches).returning({ id })) as Run<{ id: string }[]>
  }
}

/** An item that a create stored, or that the same create had stored before. */
export type Created = JsonRow & { isNew: boolean }

export const isTransaction = (within: Within | undefined): within is Transaction =>
  within !== undefined && 'run' in within

/** The parameter of a value; null for null and for a member that is absent. */
export const parameter = ({ kind, nullable }: Member, given: unknown) =>
  given === undefined || (given === null && nullable) ? null : kind.encode(given)
