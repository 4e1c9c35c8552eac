import { sql } from 'drizzle-orm'
import { boolean, index, pgPolicy, pgTable, primaryKey, text } from 'drizzle-orm/pg-core'
import { moment, ownedTable, ownerId, policyOf } from './owned-table.ts'

export const tasks = ownedTable('tasks', {
  title: text('title').notNull(),
  description: text('description'),
  completed: boolean('completed').notNull().default(false),
  dueAt: moment('due_at')
})

/** What was answered to a POST with an `Idempotency-Key`, to be answered again for a day (`src/idempotency.ts`). */
export const idempotencyKeys = pgTable(
  'idempotency_keys',
  {
    userId: ownerId('user_id').notNull(),
    key: text('key').notNull(),
    digest: text('digest').notNull(),
    json: text('json').notNull(),
    location: text('location'),
    createdAt: moment('created_at').notNull().defaultNow()
  },
  (table) => {
    const over = sql`${table.createdAt} < now() - interval '24 hours'`
    return [
      primaryKey({ columns: [table.userId, table.key] }),
      index('idempotency_keys_created_at').on(table.createdAt),
      policyOf('idempotency_keys', table.userId),
      // Behind the wall too they are swept, whosever they are (`sweep` in src/db/connect.ts).
      pgPolicy('idempotency_keys_over', { for: 'select', using: over }),
      pgPolicy('idempotency_keys_swept', { for: 'delete', using: over })
    ]
  }
)
