import { sql } from 'drizzle-orm'
import pino from 'pino'
import t from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { connect } from '../../../src/db/connect.ts'
import { ownedBy } from '../../../src/db/owned.ts'
import { changes, tasks } from '../../../src/db/schema.ts'
import { taskStore } from '../../../src/tasks/store.ts'
import { newUser, testConfig } from '../../helper.ts'

t.test('a statement shows its fields as their columns have them, and moments to the microsecond', async (t) => {
  const { database } = await testConfig()
  const { prepare, transaction, close } = await connect(database, pino({ level: 'silent' }))
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
