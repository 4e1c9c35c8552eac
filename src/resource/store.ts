import { eq, type SQL, sql } from 'drizzle-orm'
import type { Owner } from '../auth/user.ts'
import { type JsonRow, jsonRows } from '../db/json.ts'
import type { OwnedBy } from '../db/owned.ts'
import type { Run, Transaction, Within } from '../db/transaction.ts'
import { timeOf, uuidv7 } from '../http/uuid.ts'
import type { Bodies, Declaration, ResourceTable } from './declaration.ts'
import { arrayLiteral } from './kinds.ts'
import { Lists } from './list.ts'
import type { Member } from './members.ts'
import { UNCONDITIONAL, type VersionCondition } from './preconditions.ts'
import type { Values } from './schemas.ts'

/** One item: its JSON, as the client gets it, and what the service itself needs of it. */
export type Stored = JsonRow

const versionValues = ({ ifMatch, ifNoneMatch }: VersionCondition) => ({
  ifMatch: ifMatch === null ? null : arrayLiteral(ifMatch),
  ifNoneMatch: ifNoneMatch === null ? null : arrayLiteral(ifNoneMatch)
})

// Placeholders have a prefix, so that no member has the name of another placeholder, such as `id`.
const placeholderOf = ({ name }: Member) => `member.${name}`
const flagOf = ({ name }: Member) => `set.${name}`

/** The value of a member in a new row. */
function inserted(member: Member): SQL {
  const value = sql`${sql.placeholder(placeholderOf(member))}`
  // In a `values` list PostgreSQL knows the type of a parameter by its column.
  const { kind, sqlDefault } = member
  if (sqlDefault !== undefined) return sql`coalesce(${value}::${sql.raw(kind.cast)}, ${sqlDefault})`
  return kind.name === 'document' ? sql`${value}::${sql.raw(kind.cast)}` : value
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

/** Prepares the statements on the items of one owner. */
function prepareItems(owned: OwnedBy, { table, members, publicColumns }: Declaration) {
  const own = owned(table, { recorded: true })
  const { id, version } = table
  const { fields, asRows } = jsonRows(publicColumns)
  const byId = eq(id, sql.placeholder('id'))
  const idIn = sql`${id} = any(${sql.placeholder('ids')}::uuid[])`
  // In the statement itself: between a look at the version and the write somebody else could have written.
  const [ifMatch, ifNoneMatch] = [sql.placeholder('ifMatch'), sql.placeholder('ifNoneMatch')]
  // A list that is null asks for nothing.
  const versionMatches = sql`coalesce(${version} = any(${ifMatch}::int[]), true)
  and coalesce(${version} <> all(${ifNoneMatch}::int[]), true)`
  // By the clock that made the id, or "newest first" would disagree with what is shown.
  const moment = sql`${sql.placeholder('createdAt')}`
  const row: Row = { id: sql`${sql.placeholder('id')}`, createdAt: moment, updatedAt: moment }
  for (const member of members) row[member.name] = inserted(member)
  const change: Row = nextVersion(table)
  for (const member of members) change[member.name] = patched(member)

  return {
    get: own.prepare((own) => asRows(own.select(fields, byId))),
    getAll: own.prepare((own) => asRows(own.select(fields, idIn))),
    lock: own.prepare((own) => own.select({ id }, idIn).orderBy(id).for('update')) as Run<{ id: string }[]>,
    insert: own.prepare((own) => asRows(own.insert(row as never).returning(fields))),
    update: own.prepare((own) => asRows(own.update(change as never, byId, versionMatches).returning(fields))),
    remove: own.prepare((own) => own.delete(byId, versionMatches).returning({ id })) as Run<{ id: string }[]>
  }
}

/**
 * The items of a resource, of one owner at a time: a foreign row is as absent as a missing one (`src/db/owned.ts`).
 * What is done `within` a transaction (`app.transaction`) is part of it; within the deadline of a request it is done in
 * time or not at all.
 */
export class Store<New extends object = Values, Change extends object = Values> extends Lists {
  /** The members, and the names of their placeholders. */
  readonly #members: readonly { member: Member; placeholder: string; flag: string }[]
  readonly #statements: ReturnType<typeof prepareItems>

  /** @param owned `app.owned` */
  constructor(owned: OwnedBy, declaration: Declaration & Bodies<New, Change>) {
    super(owned, declaration)
    this.#members = declaration.members.map((member) => ({
      member,
      placeholder: placeholderOf(member),
      flag: flagOf(member)
    }))
    this.#statements = prepareItems(owned, declaration)
  }

  /** The owner's item, or undefined when there is none: unknown and foreign alike. */
  async get(owner: Owner, id: string, within?: Within): Promise<Stored | undefined> {
    return (await this.#statements.get(owner, { id }, within))[0]
  }

  /** Those of the owner's items that are there. */
  getAll(owner: Owner, ids: string[], within?: Within): Promise<Stored[]> {
    return this.#statements.getAll(owner, { ids: arrayLiteral(ids) }, within)
  }

  /**
   * Keeps others from changing them until the transaction ends. Two that lock first, all at once, do not wait for each
   * other.
   */
  lock(owner: Owner, ids: string[], transaction: Transaction): Promise<{ id: string }[]> {
    return this.#statements.lock(owner, { ids: arrayLiteral(ids) }, transaction)
  }

  /** Changes the members that are there. Undefined when the owner has no such item in such a version. */
  async update(
    owner: Owner,
    id: string,
    change: Change,
    condition: VersionCondition = UNCONDITIONAL,
    within?: Within
  ): Promise<Stored | undefined> {
    const values: Values = { id, ...versionValues(condition) }
    for (const { member, placeholder, flag } of this.#members) {
      const given = (change as Values)[member.name]
      values[placeholder] = parameter(member, given)
      if (member.nullable) values[flag] = given !== undefined
    }
    return (await this.#statements.update(owner, values, within))[0]
  }

  /** Whether there was such an item, in such a version. */
  async remove(
    owner: Owner,
    id: string,
    condition: VersionCondition = UNCONDITIONAL,
    within?: Within
  ): Promise<boolean> {
    return (await this.#statements.remove(owner, { id, ...versionValues(condition) }, within)).length > 0
  }

  /** @param id of a list that was made at once, for items whose order is that of their ids (`uuidv7s`) */
  async create(owner: Owner, item: New, within?: Within, id = uuidv7()): Promise<Stored> {
    const values: Values = { id, createdAt: timeOf(id) }
    for (const { member, placeholder } of this.#members) {
      const given = (item as Values)[member.name]
      values[placeholder] = given === undefined ? member.fallback() : parameter(member, given)
    }
    const [row] = await this.#statements.insert(owner, values, within)
    return row as Stored
  }
}

/** The parameter of a value; null for null and for a member that is absent. */
const parameter = ({ kind, nullable }: Member, given: unknown) =>
  given === undefined || (given === null && nullable) ? null : kind.encode(given)
