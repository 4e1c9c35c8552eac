import { Type } from '@sinclair/typebox'
import { tasks } from '../../../src/db/schema.ts'
import { after, before, contains, equals, resource } from '../../../src/resource/resource.ts'

/** The caller's tasks. Every statement begins with `eq(tasks.userId, request.user.sub)`: see src/db/owned.ts. */
export default resource(tasks, {
  name: 'task',
  members: {
    title: Type.String({ minLength: 1, maxLength: 200, examples: ['Buy milk'] }),
    description: Type.String({ maxLength: 10_000, examples: ['Two litres, semi-skimmed'] }),
    completed: Type.Boolean(),
    dueAt: Type.String({ format: 'date-time' })
  },
  filters: {
    completed: equals('completed'),
    q: contains('title', 'description'),
    dueBefore: before('dueAt'),
    dueAfter: after('dueAt')
  },
  sorts: ['createdAt', 'updatedAt', 'dueAt', 'title'],
  max: ({ tasksPerUserMax }) => tasksPerUserMax
})
