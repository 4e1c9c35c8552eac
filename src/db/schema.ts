import { boolean, customType, integer, pgTable, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/**
 * A user's identifier. Compared by bytes: an index in the "C" collation costs no locale rules on each comparison and
 * does not break when an upgrade of the operating system changes them.
 */
const ownerId = customType<{ data: string }>({ dataType: () => 'text collate "C"' })

// Mode `string`: the service never turns a timestamp into a Date (PostgreSQL writes the JSON, see src/tasks/store.ts).
const moment = (name: string) => timestamp(name, { withTimezone: true, mode: 'string' })

/**
 * The tasks of all users. Ids are UUIDv7, which sort by creation, so the primary key alone serves "my newest tasks",
 * and a query that names no owner has no index to use.
 */
export const tasks = pgTable(
  'tasks',
  {
    userId: ownerId('user_id').notNull(),
    id: uuid('id').notNull(),
    title: text('title').notNull(),
    description: text('description'),
    completed: boolean('completed').notNull().default(false),
    dueAt: moment('due_at'),
    createdAt: moment('created_at').notNull().defaultNow(),
    updatedAt: moment('updated_at').notNull().defaultNow(),
    version: integer('version').notNull().default(1)
  },
  (table) => [primaryKey({ columns: [table.userId, table.id] })]
)
