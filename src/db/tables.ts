import { type BuildColumns, type SQL, sql } from 'drizzle-orm'
import {
  check,
  customType,
  foreignKey,
  type IndexBuilderOn,
  index,
  integer,
  type PgColumn,
  type PgColumnBuilderBase,
  type PgTableExtraConfigValue,
  type PgTableWithColumns,
  pgPolicy,
  pgTable,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
  uuid
} from 'drizzle-orm/pg-core'
import {
  type Constraint,
  constraintsOf,
  nameOf,
  type ReferenceConstraint,
  type Rules,
  type UniqueConstraint,
  withRules
} from './constraints.ts'

export { reference, type Target } from './reference.ts'

/**
 * A user's identifier. Compared by bytes: an index in the "C" collation costs no locale rules on each comparison and
 * does not break when an upgrade of the operating system changes them.
 */
export const ownerId = customType<{ data: string }>({ dataType: () => 'text collate "C"' })

// Mode `string`: the service never turns a timestamp into a Date (src/db/json.ts writes its text).
export const dateTime = (name: string) => timestamp(name, { withTimezone: true, mode: 'string' })

const ownership = { userId: ownerId('user_id').notNull(), id: uuid('id').notNull() }

const history = {
  createdAt: dateTime('created_at').notNull().defaultNow(),
  updatedAt: dateTime('updated_at').notNull().defaultNow(),
  version: integer('version').notNull().default(1),
  /** A digest of the create that chose the id of its row, by which a repeat is known (`src/resource/inserts.ts`). */
  createDigest: text('create_digest')
}

type Columns = Record<string, PgColumnBuilderBase>

/** The policy of a table: the owner that the session names (`src/db/row-security.ts`) reads and writes their rows. */
export const policyOf = (name: string, userId: PgColumn) => {
  const own = sql`${userId} = current_setting('rowkeeper.owner', true)`
  return pgPolicy(`${name}_owner`, { using: own, withCheck: own })
}

/**
 * The policies by which the rows of a table `name` that are over are deleted, whosever they are (`src/db/retention.ts`,
 * which reads from them what is over). PostgreSQL locks a row for whoever may update it; no update passes this one.
 */
export const retentionPolicies = (name: string, over: SQL) => [
  pgPolicy(`${name}_over`, { for: 'select', using: over }),
  pgPolicy(`${name}_locked`, { for: 'update', using: over, withCheck: sql`false` }),
  pgPolicy(`${name}_swept`, { for: 'delete', using: over })
]

/** In words, since the compiler writes something else into the declarations of the package. */
type Table<Name extends string, Own extends Columns> = PgTableWithColumns<{
  name: Name
  schema: undefined
  columns: BuildColumns<Name, typeof ownership & Own & typeof history, 'pg'>
  dialect: 'pg'
}>

type Indexed = Parameters<IndexBuilderOn['on']>[0]

/** The columns of a table as an index takes them. */
type IndexColumns = Record<string, Indexed>

/** The foreign key of a reference, and the index by which PostgreSQL and lists find the rows that refer to one. */
function referenceKeys(
  tableName: string,
  columns: IndexColumns,
  { name, members, target, column }: ReferenceConstraint
): PgTableExtraConfigValue[] {
  const [userId, id, own] = [columns.userId, columns.id, columns[String(members[0])]] as [Indexed, Indexed, Indexed]
  const key = { name, columns: [userId, own], foreignColumns: [target.userId, target.id] } as never
  return [
    // Not `cascade` or `set null`: PostgreSQL would do it without a record, and would make the owner null too.
    foreignKey(key).onDelete('restrict').onUpdate('restrict'),
    index(nameOf(tableName, column.name, 'index')).on(userId, own, id)
  ]
}

/** The unique index of a set, within the owner. */
function uniqueKey(columns: IndexColumns, { name, members, set }: UniqueConstraint): PgTableExtraConfigValue {
  const parts = members.flatMap((member): Indexed[] => {
    const column = columns[member] as (Indexed & { columnType: string }) | undefined
    // The declaration of the resource is refused for it, with a sentence.
    if (column === undefined) return []
    const isText = column.columnType === 'PgText' || column.columnType === 'PgVarchar'
    // In the "C" collation, or the order of the index would change with the operating system.
    const folded = set.caseInsensitive && isText ? sql`(lower(${column}) collate "C")` : column
    // Two arrays with a null are equal. PostgreSQL 14 has no NULLS NOT DISTINCT, and Drizzle none for an index.
    return [set.nullsNotDistinct ? sql`(array[${folded}])` : folded]
  })
  return uniqueIndex(name).on(columns.userId as Indexed, ...parts)
}

/** What of Drizzle makes a constraint. */
function made(tableName: string, columns: IndexColumns, constraint: Constraint): PgTableExtraConfigValue[] {
  if (constraint.kind === 'reference') return referenceKeys(tableName, columns, constraint)
  if (constraint.kind === 'unique') return [uniqueKey(columns, constraint)]
  return [check(constraint.name, constraint.condition)]
}

/**
 * A table whose rows belong to users: `columns`, and what every such table has. Ids are UUIDv7, which sort by creation,
 * so the primary key alone serves "my newest", and a query that names no owner has no index to use. The policy is
 * row-level security (`src/db/row-security.ts`). It binds every role but the table's owner and superusers.
 *
 * @param rules what is unique within an owner, and conditions of a row
 */
export const ownedTable = <const Name extends string, Own extends Columns>(
  name: Name,
  columns: Own,
  rules: Rules<keyof Own & string> = {}
): Table<Name, Own> => {
  // Drizzle calls the function later, when the tables that are referred to are declared.
  const table: Table<Name, Own> = pgTable(name, { ...ownership, ...columns, ...history }, (indexed) => [
    primaryKey({ columns: [indexed.userId, indexed.id] }),
    policyOf(name, indexed.userId),
    ...constraintsOf(table).flatMap((one) => made(name, indexed as unknown as IndexColumns, one))
  ])
  return withRules(table, rules)
}

/** The condition of a row that has expired: it is kept for 24 hours. */
export const isExpired = (createdAt: PgColumn) => sql`${createdAt} < now() - interval '24 hours'`
