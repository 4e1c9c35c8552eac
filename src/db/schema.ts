import { boolean, text } from 'drizzle-orm/pg-core'
import { dateTime, ownedTable } from './tables.ts'

export const tasks = ownedTable('tasks', {
  title: text('title').notNull(),
  description: text('description'),
  completed: boolean('completed').notNull().default(false),
  dueAt: dateTime('due_at')
})
