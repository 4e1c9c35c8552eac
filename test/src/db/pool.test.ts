import { eq, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/postgres-js'
import pino from 'pino'
import t from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { connect } from '../../../src/db/connect.ts'
import { open } from '../../../src/db/driver.ts'
import { type Line, line, pooled } from '../../../src/db/pool.ts'
import { tasks } from '../../../src/db/schema.ts'
import { build, testConfig } from '../../helper.ts'
import { watchStatements } from '../../statements.ts'

t.test('reads fill one connection after the other, writes go where the least is to do', async (t) => {
  const alice = 'alice' as Owner
  const asked: number[] = []
  const answers: (() => void)[] = []
  const client = open({ max: 1 })
  // They hold back what is asked, instead of sending it: which of them is asked is all that matters here.
  const lines = Array.from(
    { length: 3 },
    (_, i): Line => ({
      ...line(client),
      send: () =>
        new Promise((resolve) => {
          asked.push(i)
          answers.push(() => resolve([]))
        })
    })
  )
  const { prepare, load } = pooled(drizzle({ client }), lines)
  const fields = { id: tasks.id }
  const mine = eq(tasks.userId, sql.placeholder('owner'))
  const read = prepare((db) => ({ statement: db.select(fields).from(tasks).where(mine), fields }))
  const write = prepare((db) => ({ statement: db.delete(tasks).where(mine).returning(fields), fields }))
  const running = [...Array(9).fill(read), write, write, write, read].map((run: typeof read) => run(alice, {}))
  t.same(asked, [...Array(8).fill(0), 1, 2, 1, 2, 1])
  t.same(load(), { pending: 13, busy: 3, idle: 0 })
  for (const answer of answers) answer()
  await Promise.all(running)
  t.same(load(), { pending: 0, busy: 0, idle: 3 })
})

t.test('an instance that listens makes its connections, before a crowd has to wait for them (issue 7)', async (t) => {
  const app = await build(t, { DATABASE_POOL_MAX: '3' })
  // The embedded database has one.
  let left = process.env.TEST_DATABASE_URL === undefined ? 1 : 3
  const made = new Promise<void>((resolve) => {
    t.teardown(watchStatements(({ text }) => void (text === 'select 1' && --left === 0 && resolve())))
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  await made

  const { database } = await testConfig({ DATABASE_URL: 'postgres://127.0.0.1:1/none', DATABASE_POOL_MAX: '2' })
  const nowhere = await connect(database, pino({ level: 'silent' }))
  t.teardown(nowhere.close)
  t.match(
    await nowhere.warm(),
    [{ status: 'rejected' }, { status: 'rejected' }],
    'one that is not there is no fault yet'
  )
})
