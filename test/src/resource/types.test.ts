import { Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import { boolean, integer, json, pgEnum, pgTable, text, uuid } from 'drizzle-orm/pg-core'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { reference } from '../../../src/db/reference.ts'
import { dateTime, ownedTable } from '../../../src/db/tables.ts'
import { atLeast, before, contains, equals, has, isNull, oneOf, resource } from '../../../src/resource/resource.ts'

// What the compiler refuses: `tsc` fails where an error that is expected here does not come. It is refused at the start
// too, for whoever goes without a compiler.

const state = pgEnum('note_state', ['on', 'off'])
const notes = ownedTable('notes', {
  label: text('label').notNull(),
  body: text('body'),
  done: boolean('done').notNull().default(false),
  count: integer('count'),
  state: state('state').notNull().default('on'),
  tags: text('tags').array(),
  settings: json('settings'),
  dueAt: dateTime('due_at')
})
const short = Type.String({ maxLength: 10 })
const name = 'note'

/** Expects that a declaration is refused at the start, in these words. */
const refused = (t: Test, message: RegExp, declares: () => unknown) => t.throws(declares, { message })

t.test('what fits its table compiles, whatever the order of its members (issue 18)', async (t) => {
  const { declaration } = resource(notes, {
    name,
    members: {
      dueAt: Type.String(),
      label: short,
      body: short,
      done: Type.Boolean(),
      count: Type.Union([Type.Literal(1), Type.Literal(2)]),
      state: Type.Union([Type.Literal('on'), Type.Literal('off')]),
      tags: Type.Array(short, { maxItems: 3 }),
      settings: Type.Object({ a: Type.Optional(Type.Number()) }, { maxBytes: 99, maxDepth: 1 })
    },
    filters: {
      q: contains('label', 'body'),
      done: equals('done'),
      states: oneOf('state'),
      from: atLeast('count'),
      tag: has('tags'),
      noSettings: isNull('settings'),
      updatedBefore: before('updatedAt')
    },
    sorts: ['createdAt', 'updatedAt', 'label', 'count']
  })
  t.equal(declaration.members.length, 8)
})

t.test('a member has a column of its name and type (issue 18)', async (t) => {
  // @ts-expect-error: no column of this name
  refused(t, /no column of that name/, () => resource(notes, { name, members: { label: short, lable: short } }))
  // @ts-expect-error: another type
  refused(t, /of type string/, () => resource(notes, { name, members: { label: short, done: short } }))
  // @ts-expect-error: an array is no text
  refused(t, /of type string/, () => resource(notes, { name, members: { label: short, tags: short } }))
  const beyond = Type.Union([Type.Literal('on'), Type.Literal('of')])
  // @ts-expect-error: a value that the column does not have
  refused(t, /the value "of"/, () => resource(notes, { name, members: { label: short, state: beyond } }))
  // @ts-expect-error: the owner
  refused(t, /is the owner/, () => resource(notes, { name, members: { label: short, userId: short } }))
  // @ts-expect-error: every item has an id
  refused(t, /every item has it/, () => resource(notes, { name, members: { label: short, id: short } }))
})

t.test('a filter and a sort name members (issue 18)', async (t) => {
  const members = { label: short }
  // @ts-expect-error: no member of this name
  refused(t, /is no member/, () => resource(notes, { name, members, filters: { q: equals('lable') } }))
  // @ts-expect-error: a column that is no member
  refused(t, /is no member/, () => resource(notes, { name, members, filters: { q: equals('body') } }))
  // @ts-expect-error: the owner
  refused(t, /is no member/, () => resource(notes, { name, members, filters: { q: equals('userId') } }))
  // @ts-expect-error: one of several is no member
  refused(t, /is no member/, () => resource(notes, { name, members, filters: { q: contains('label', 'x') } }))
  // @ts-expect-error: a parameter that every list has
  refused(t, /another name/, () => resource(notes, { name, members, filters: { limit: equals('label') } }))
  // @ts-expect-error: no member of this name
  refused(t, /names no member/, () => resource(notes, { name, members, sorts: ['lable'] }))
  // @ts-expect-error: the owner
  refused(t, /names no member/, () => resource(notes, { name, members, sorts: ['userId'] }))
})

t.test('a table is an ownedTable (issue 18)', async (t) => {
  const plain = pgTable('notes', { userId: text('user_id').notNull(), id: uuid('id').notNull(), label: text('label') })
  // @ts-expect-error: a table of Drizzle's own
  refused(t, /is no ownedTable/, () => resource(plain, { name, members: {} }))
})

t.test('a reference leads to a table of rows that have an owner (issue 20)', async (t) => {
  const ownerless = pgTable('ownerless', { id: uuid('id').notNull() })
  // @ts-expect-error: its rows have no owner
  const stray = ownedTable('lines', { noteId: reference('note_id', () => ownerless) })
  t.throws(() => resource(stray, { name: 'line', members: { noteId: Type.String() } }))
  // @ts-expect-error: nothing else can be done
  const other = reference('note_id', () => notes, { onDelete: 'set null' })
  t.type(other, 'object')
  const lines = ownedTable('lines', { noteId: reference('note_id', () => notes) })
  // @ts-expect-error: an id is a text
  refused(t, /of type integer/, () => resource(lines, { name: 'line', members: { noteId: Type.Integer() } }))
  // @ts-expect-error: it is for the service alone
  refused(t, /for the service alone/, () => resource(notes, { name, members: { label: short, createDigest: short } }))
})

t.test('the rules of a table name its columns (issue 20)', async (t) => {
  const columns = { label: text('label'), body: text('body') }
  const members = { label: short }
  // @ts-expect-error: no column of this name
  const unknown = ownedTable('others', columns, { unique: [['label', 'lable']] })
  refused(t, /names "lable", which is no member/, () => resource(unknown, { name, members }))
  // @ts-expect-error: every set is within the owner
  const owned = ownedTable('others', columns, { unique: [['userId', 'label']] })
  refused(t, /names "userId", which is no member/, () => resource(owned, { name, members }))
  // @ts-expect-error: no column of this name
  const set = ownedTable('others', columns, { unique: [{ members: ['lable'] }] })
  refused(t, /names "lable", which is no member/, () => resource(set, { name, members }))
  // @ts-expect-error: no column of this name
  const check = ownedTable('others', columns, { checks: { lable: () => sql`true` } })
  refused(t, /"lable" is named by no member/, () => resource(check, { name, members }))
  // @ts-expect-error: a condition is SQL
  t.type(ownedTable('others', columns, { checks: { label: () => true } }), 'object')
  const plain = ownedTable('others', columns)
  // @ts-expect-error: a number, or what the configuration says
  refused(t, /The max 5 must be a whole number/, () => resource(plain, { name, members, max: '5' }))
})

t.test('a store takes what its columns take (issue 18)', async (t) => {
  const { declaration } = resource(notes, {
    name,
    members: { label: short, body: short, count: Type.Integer({ readOnly: true }) }
  })
  const check = (app: FastifyInstance, owner: Owner) => {
    const store = app.store(declaration)
    void store.create(owner, { label: 'a' })
    void store.create(owner, { label: 'a', body: null, count: 5 })
    void store.update(owner, 'id', { body: null })
    // @ts-expect-error: a member without a default is not there
    void store.create(owner, { body: 'b' })
    // @ts-expect-error: another type
    void store.create(owner, { label: 1 })
    // @ts-expect-error: its column is not null
    void store.create(owner, { label: null })
    // @ts-expect-error: no member
    void store.create(owner, { label: 'a', userId: 'somebody' })
    // @ts-expect-error: another type
    void store.update(owner, 'id', { count: '5' })
    // @ts-expect-error: its column is not null
    void store.update(owner, 'id', { label: null })
    // @ts-expect-error: a user is named by a verified token, not by a text
    void store.create('somebody', { label: 'a' })
  }
  t.type(check, 'function')
})
