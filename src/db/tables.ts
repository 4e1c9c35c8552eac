import { type BuildColumns, type SQL, sql } from 'drizzle-orm'
import {
  customType,
  integer,
  type PgColumn,
  type PgColumnBuilderBase,
  type PgTableWithColumns,
  pgPolicy,
  pgTable,
  primaryKey,
  timestamp,
  uuid
} from 'drizzle-orm/pg-core'

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
  version: integer('version').notNull().default(1)
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

/**
 * A table whose rows belong to users: `columns`, and what every such table has. Ids are UUIDv7, which sort by creation,
 * so the primary key alone serves "my newest", and a query that names no owner has no index to use. The policy is
 * row-level security (`src/db/row-security.ts`). It binds every role but the table's owner and superusers.
 */
export const ownedTable = <const Name extends string, Own extends Columns>(
  name: Name,
  columns: Own
): Table<Name, Own> =>
  pgTable(name, { ...ownership, ...columns, ...history }, (table) => [
    primaryKey({ columns: [table.userId, table.id] }),
    policyOf(name, table.userId)
  ])

/** The condition of a row that has expired: it is kept for 24 hours. */
export const isExpired = (createdAt: PgColumn) => sql`${createdAt} < now() - interval '24 hours'`
