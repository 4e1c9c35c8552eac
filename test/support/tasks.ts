import fc from 'fast-check'
import type { Resource } from '../contract/isolation.ts'

const members = {
  // A title has at most 200 code points, and a grapheme may have several.
  title: fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }),
  description: fc.option(fc.string({ maxLength: 40, unit: 'grapheme' })),
  completed: fc.boolean(),
  dueAt: fc.constantFrom(null, '2030-01-31T09:00:00+00:00', '1999-12-31T23:59:59.999999+00:00')
}

/** The tasks, for `isolationSuite`. */
export const tasks: Resource = {
  url: '/api/tasks',
  events: '/api/tasks/events',
  notFound: 'task_not_found',
  sample: { title: 'secret', description: 'of somebody' },
  change: { title: 'mine' },
  samples: fc.record(members, { requiredKeys: ['title'] }),
  changes: fc.record(members, { requiredKeys: [] }).filter((body) => Object.keys(body).length > 0)
}
