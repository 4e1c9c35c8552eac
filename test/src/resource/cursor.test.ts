import { type TSchema, Type } from '@sinclair/typebox'
import { pgEnum } from 'drizzle-orm/pg-core'
import fc from 'fast-check'
import t from 'tap'
import { ownedTable } from '../../../src/db/tables.ts'
import { Problem } from '../../../src/http/problems.ts'
import { type List, readCursor, writeCursor } from '../../../src/resource/cursor.ts'
import { resource } from '../../../src/resource/resource.ts'
import type { Sort } from '../../../src/resource/sorts.ts'
import { TaskQuery, tasksResource } from '../../support/tasks.ts'

const listBy = (name: string, ...filters: unknown[]): List => ({
  sort: tasksResource.declaration.sorts.find((one) => one.name === name) as Sort,
  filters
})

/** The faults for which a cursor is refused; undefined when it is not. */
function faults(list: List, cursor: string) {
  try {
    readCursor(list, cursor)
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
  const key = fc.string({ unit: 'grapheme', minLength: 0, maxLength: 200 })
  fc.assert(
    fc.property(fc.uuid(), key, fc.option(key, { nil: undefined }), (id, key, q) => {
      const list = listBy('title', q)
      const cursor = writeCursor(list, { id, key })
      t.match(cursor, new RegExp(pattern))
      t.same(readCursor(list, cursor), { id, key })
      t.match(faults({ ...list, filters: [`${q}x`] }, cursor), REFUSED)
    })
  )
  t.equal(writeCursor(listBy('title'), { id: ID, key: '\u{1f600}'.repeat(200) }).length, maxLength)
})

t.test('issue 18: a cursor fits its schema whatever the labels of an enum are', async (t) => {
  const phase = pgEnum('phase', ['新規', '進行中'])
  const jobs = ownedTable('jobs', { phase: phase('phase').notNull() })
  const members = { phase: Type.Union([Type.Literal('新規'), Type.Literal('進行中')]) }
  const { sorts, schemas } = resource(jobs, { name: 'job', members, sorts: ['phase'] }).declaration
  const sort = sorts.find(({ name }) => name === 'phase') as Sort
  const { maxLength } = (schemas.query as TSchema).properties.cursor
  t.ok(writeCursor({ sort, filters: [] }, { id: ID, key: '進行中' }).length <= maxLength)
})

t.test('a cursor of an earlier version is still good', async (t) => {
  // Made by the version that had tasks only: of `sort=title&completed=false&q=milk`.
  const cursor = 'Lmr-Skw5EiMBmrPEXW5_gJGis8TV5vcIQnV5IG1pbGs'
  t.same(readCursor(listBy('title', false, 'milk', undefined, undefined), cursor), { id: ID, key: 'Buy milk' })
})

t.test('a made-up cursor that PostgreSQL could not read is refused', async (t) => {
  for (const [sort, key] of [
    ['title', 'a\u0000'],
    ['title', null],
    ['dueAt', 'infinity'],
    ['-updatedAt', '2030-01-01'],
    ['createdAt', "'"]
  ] as const) {
    const list = listBy(sort)
    t.match(faults(list, writeCursor(list, { id: ID, key })), REFUSED, String(key))
  }
  for (const cursor of ['', 'A', 'x'.repeat(31)]) {
    t.match(faults(listBy('-createdAt'), cursor), REFUSED, cursor)
  }
})
