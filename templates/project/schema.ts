import { boolean, dateTime, ownedTable, text } from 'rowkeeper/resource'

/** Each row belongs to one user. A column says whether its member is required, may be null, or has a default. */
export const notes = ownedTable('notes', {
  text: text('text').notNull(),
  pinned: boolean('pinned').notNull().default(false),
  remindAt: dateTime('remind_at')
})
