import { sql } from 'drizzle-orm'
import { bigint, boolean, customType, index, integer, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core'
import { dateTime, isExpired, ownerId, policyOf, retentionPolicies } from './tables.ts'

/** The answers to POSTs with an `Idempotency-Key`, kept for a day (`src/resource/idempotency.ts`). */
export const idempotencyKeys = pgTable(
  'idempotency_keys',
  {
    userId: ownerId('user_id').notNull(),
    key: text('key').notNull(),
    digest: text('digest').notNull(),
    json: text('json').notNull(),
    /** Whether the answer was too large to keep, and `json` names its rows only. */
    abridged: boolean('abridged').notNull().default(false),
    location: text('location'),
    createdAt: dateTime('created_at').notNull().defaultNow()
  },
  (table) => {
    const over = isExpired(table.createdAt)
    return [
      primaryKey({ columns: [table.userId, table.key] }),
      index('idempotency_keys_created_at').on(table.createdAt),
      policyOf('idempotency_keys', table.userId),
      ...retentionPolicies('idempotency_keys', over)
    ]
  }
)

/**
 * How many rows a user has at most of each resource that has a `max` (`src/resource/row-count.ts`). A create counts in
 * its own statement. What was deleted is counted off when there seems to be no room.
 */
export const rowCounts = pgTable(
  'row_counts',
  {
    userId: ownerId('user_id').notNull(),
    resource: text('resource').notNull(),
    atMost: integer('at_most').notNull()
  },
  (table) => [primaryKey({ columns: [table.userId, table.resource] }), policyOf('row_counts', table.userId)]
)

/** The placeholder of the most rows that an owner may have. */
export const MAX = 'max'

/** The number of a transaction, which is never used again. */
const transactionId = customType<{ data: string }>({ dataType: () => 'xid8' })

/**
 * The feeds of the users who listened to their changes lately: the number of the last change. The changes of a user
 * without a row here, or with an expired one, are not recorded (`src/changes`).
 */
export const feeds = pgTable(
  'feeds',
  {
    userId: ownerId('user_id').notNull(),
    /** What instances are notified with: it says nothing of its user. */
    key: uuid('key').notNull().defaultRandom(),
    /** The number of the last change. */
    seq: bigint('seq', { mode: 'number' }).notNull(),
    startedBy: transactionId('started_by').notNull(),
    expiresAt: dateTime('expires_at').notNull()
  },
  (table) => {
    const over = sql`${table.expiresAt} < now()`
    return [
      primaryKey({ columns: [table.userId] }),
      policyOf('feeds', table.userId),
      ...retentionPolicies('feeds', over)
    ]
  }
)

/**
 * What changed, for a day: no content, which is read when it is told (`record_change` writes it, in migration 0003).
 */
export const changes = pgTable(
  'changes',
  {
    userId: ownerId('user_id').notNull(),
    seq: bigint('seq', { mode: 'number' }).notNull(),
    resource: text('resource').notNull(),
    id: uuid('id').notNull(),
    version: integer('version').notNull(),
    kind: text('kind', { enum: ['created', 'updated', 'deleted'] }).notNull(),
    createdAt: dateTime('created_at').notNull().defaultNow()
  },
  (table) => {
    const over = isExpired(table.createdAt)
    return [
      primaryKey({ columns: [table.userId, table.seq] }),
      index('changes_created_at').on(table.createdAt),
      policyOf('changes', table.userId),
      ...retentionPolicies('changes', over)
    ]
  }
)

/**
 * The service's own tables, in the order in which a write locks them, after its row: how many there are, the key, the
 * feed, the change. `drizzle/system` has their migrations.
 */
export const systemTables = [rowCounts, idempotencyKeys, feeds, changes]
