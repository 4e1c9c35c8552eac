import { boolean, dateTime, ownedTable, text } from 'rowkeeper/resource'

export const tasks = ownedTable('tasks', {
  title: text('title').notNull(),
  description: text('description'),
  completed: boolean('completed').notNull().default(false),
  dueAt: dateTime('due_at')
})

export const notes = ownedTable('notes', {
  text: text('text').notNull(),
  pinned: boolean('pinned').notNull().default(false)
})
