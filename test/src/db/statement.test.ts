import { eq, sql } from 'drizzle-orm'
import pino from 'pino'
import t from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { openDatabase } from '../../../src/db/open.ts'
import { ownedBy } from '../../../src/db/owned.ts'
import { tasks } from '../../../src/db/schema.ts'
import { changes } from '../../../src/db/system-tables.ts'
import { watchStatements } from '../../contract/statements.ts'
import { newUser, testConfig } from '../../support/app.ts'
import { taskStore } from '../../support/tasks.ts'

t.test('a statement shows its fields as their columns have them, and moments to the microsecond', async (t) => {
  const { database } = await testConfig()
  const { prepare, transaction, close } = await openDatabase(database, pino({ level: 'silent' }))
  t.teardown(close)
  const alice = newUser('alice') as Owner
  const { id } = await taskStore((table) => ownedBy(prepare, table)).create(alice, { title: 'x' })

  const own = ownedBy(prepare, tasks)
  const { version, title, dueAt, description } = tasks
  const all = { version, title, dueAt, description, twice: sql<number>`${version} * 2` }
  const set = own.prepare((own) => own.update({ dueAt: sql.placeholder('dueAt') }).returning(all))
  const get = own.prepare((own) => own.select(all))
  const due = '2030-01-02 03:04:05.678901+00'
  const row = { version: 1, title: 'x', dueAt: due, description: null, twice: 2 }
  t.strictSame(await set(alice, { dueAt: due }), [row])
  t.strictSame(await get(alice), [row])
  const inside = await transaction(alice, (one) => Promise.all([get(alice, {}, one), get(alice, {}, one)]))
  t.strictSame(inside, [[row], [row]], 'and in a transaction')

  const bytes = own.prepare((own) => ({
    ...own.select({ json: sql<Buffer>`concat(${title}, ' – é')`, none: sql<null>`null` }),
    bytes: true
  }))
  const read = [{ json: Buffer.from('x – é'), none: null }]
  t.strictSame(await bytes(alice), read, 'bytes where they are asked for')
  t.strictSame(await transaction(alice, (one) => bytes(alice, {}, one)), read, 'and in a transaction')

  // Its column has a number, of what the driver gives as text.
  const log = ownedBy(prepare, changes)
  const { seq, kind } = changes
  const record = { seq: 2 ** 40, resource: 'tasks', id, version: 1, kind: sql.placeholder('kind') }
  const add = log.prepare((own) => own.insert(record).returning({ seq, kind }))
  t.strictSame(await add(alice, { kind: 'created' }), [{ seq: 2 ** 40, kind: 'created' }])
})

t.test(
  'a value that is missing is an error before anything is sent, not the text "undefined" (issue 16)',
  async (t) => {
    const { database } = await testConfig()
    const { prepare, transaction, close } = await openDatabase(database, pino({ level: 'silent' }))
    t.teardown(close)
    const alice = newUser('alice') as Owner
    const own = ownedBy(prepare, tasks)
    const { id, title, dueAt } = tasks
    const row = { id: sql`gen_random_uuid()`, title: sql.placeholder('title'), dueAt: sql.placeholder('dueAt') }
    const insert = own.prepare((own) => own.insert(row).returning({ title }))
    const find = own.prepare((own) => own.select({ title }, sql`${title} = ${sql.placeholder('constructor')}::text`))
    const rename = own.prepare((own) => own.update({ title: sql.placeholder('title') }).returning({ title }))
    const remove = own.prepare((own) => own.delete(eq(id, sql.placeholder('id'))).returning({ id }))
    const due = undefined as unknown as string
    const careless = own.prepare((own) => own.select({ title }, eq(dueAt, due)))

    const sent: string[] = []
    t.teardown(watchStatements(({ text }) => void sent.push(text)))
    await t.rejects(insert(alice, { dueAt: null }), {
      name: 'TypeError',
      message: /^The placeholder "title" has no value/
    })
    await t.rejects(insert(alice, { title: 'x', dueAt: undefined }), {
      message: /^The placeholder "dueAt" has no value/
    })
    await t.rejects(find(alice, {}), { message: /"constructor"/ }, 'what each object inherits is no value')
    await t.rejects(rename(alice), { message: /"title"/ })
    await t.rejects(remove(alice, {}), { message: /"id"/ })
    await t.rejects(careless(alice), { message: /^A value in the condition or the row has no value/ })
    t.same(sent, [])

    const made = transaction(alice, async (one) => {
      await insert(alice, { title: 'undone', dueAt: null }, one)
      await insert(alice, {}, one)
    })
    await t.rejects(made, { message: /"title"/ }, 'a transaction is undone')
    const all = own.prepare((own) => own.select({ title }))
    t.same(await all(alice), [])
    t.same(await insert(alice, { title: 'null', dueAt: null }), [{ title: 'null' }], 'null and its text are values')
  }
)
