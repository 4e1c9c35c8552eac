import { before, contains, equals, resource, Type } from 'rowkeeper/resource'
import { notes } from '../../../schema.ts'

/** The caller's notes, and nobody else's: what clients see, and what they may ask for. */
export default resource(notes, {
  name: 'note',
  members: {
    text: Type.String({ minLength: 1, maxLength: 10_000, examples: ['Water the plants'] }),
    pinned: Type.Boolean(),
    remindAt: Type.String({ format: 'date-time' })
  },
  filters: { pinned: equals('pinned'), q: contains('text'), remindBefore: before('remindAt') },
  sorts: ['updatedAt', 'remindAt'],
  max: 10_000
})
