import fc from 'fast-check'
import t from 'tap'
import { Problem } from '../../../src/http/problems.ts'
import { readCursor, writeCursor } from '../../../src/tasks/cursor.ts'
import { TaskQuery } from '../../../src/tasks/schemas.ts'

/** The faults for which a cursor is refused; undefined when it is not. */
function faults(query: TaskQuery, cursor: string) {
  try {
    readCursor(query, cursor)
  } catch (error) {
    if (error instanceof Problem && error.problem === 'validation_failed') return error.issues
    throw error
  }
  return undefined
}

const REFUSED = [{ in: 'query', pointer: '/cursor' }]

const ID = '019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708'

t.test('a cursor comes back as it was, within the length that the schema takes', async (t) => {
  const { pattern = '', maxLength } = TaskQuery.properties.cursor
  const key = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 })
  fc.assert(
    fc.property(fc.uuid(), key, fc.option(key, { nil: undefined }), (id, key, q) => {
      const query = { sort: 'title' as const, ...(q !== undefined && { q }) }
      const cursor = writeCursor(query, { id, key })
      t.match(cursor, new RegExp(pattern))
      t.same(readCursor(query, cursor), { id, key })
      t.match(faults({ ...query, q: `${q}x` }, cursor), REFUSED)
    })
  )
  t.equal(writeCursor({ sort: 'title' }, { id: ID, key: '\u{1f600}'.repeat(200) }).length, maxLength)
})

t.test('a made-up cursor that PostgreSQL could not read is refused', async (t) => {
  for (const [sort, key] of [
    ['title', 'a\u0000'],
    ['dueAt', 'infinity'],
    ['-updatedAt', '2030-01-01'],
    ['createdAt', "'"]
  ] as const) {
    t.match(faults({ sort }, writeCursor({ sort }, { id: ID, key })), REFUSED, key)
  }
  for (const cursor of ['', 'A', 'x'.repeat(31)]) {
    t.match(faults({}, cursor), REFUSED, cursor)
  }
})
