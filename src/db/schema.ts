import { boolean, text } from 'drizzle-orm/pg-core'
import { moment, ownedTable } from './owned-table.ts'

export const tasks = ownedTable('tasks', {
  title: text('title').notNull(),
  description: text('description'),
  completed: boolean('completed').notNull().default(false),
  dueAt: moment('due_at')
})
