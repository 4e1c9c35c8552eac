import { after, before, contains, equals, resource, Type } from 'rowkeeper/resource'
import { tasks } from '../../../schema.js'

/** The caller's tasks. */
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
