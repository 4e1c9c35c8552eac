import { contains, equals, resource, Type } from 'rowkeeper/resource'
import { notes } from '../../../schema.js'

/** The caller's notes. */
export default resource(notes, {
  name: 'note',
  members: {
    text: Type.String({ minLength: 1, maxLength: 10_000, examples: ['Basil wants sun, and water every other day'] }),
    pinned: Type.Boolean()
  },
  filters: { pinned: equals('pinned'), q: contains('text') },
  sorts: ['updatedAt']
})
