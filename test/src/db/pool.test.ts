import { setImmediate as turn } from 'node:timers/promises'
import { eq, sql } from 'drizzle-orm'
import pino from 'pino'
import t, { type Test } from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { Connection, QUEUE_CHECK_MS } from '../../../src/db/connection.ts'
import { Distribution } from '../../../src/db/distribution.ts'
import { openDatabase } from '../../../src/db/open.ts'
import { Pool } from '../../../src/db/pool.ts'
import { tasks } from '../../../src/db/schema.ts'
import { Slot } from '../../../src/db/slot.ts'
import { Deadline } from '../../../src/http/deadline.ts'
import { watchStatements } from '../../contract/statements.ts'
import { build, testConfig } from '../../support/app.ts'
import { holdTimers, stopClock } from '../../support/timers.ts'

const [alice, bob, carol] = ['alice', 'bob', 'carol'].map((name) => name as Owner) as [Owner, Owner, Owner]
const fields = { id: tasks.id }
const mine = eq(tasks.userId, sql.placeholder('owner'))

/**
 * A pool whose connections record statements instead of sending them. The tests look at which connection gets a
 * statement, and when.
 */
function holding(ordinary: number, scans: number) {
  const sent: string[] = []
  const answers: { owner: Owner; answer(): void }[] = []
  const names = new Map<Connection, string>()
  const slot = (name: string) =>
    new Slot(() => {
      const connection = Object.create(Connection.prototype) as Connection
      names.set(connection, name)
      return connection
    })
  const pool = new Pool(
    {
      ordinary: Array.from({ length: ordinary }, (_, i) => slot(`${i}`)),
      scans: Array.from({ length: scans }, (_, i) => slot(`scan ${i}`))
    },
    new Distribution(false),
    () => {},
    (connection, owner) => {
      sent.push(`${owner} ${names.get(connection)}`)
      return new Promise((resolve) => answers.push({ owner, answer: () => resolve([]) }))
    }
  )
  return {
    pool,
    read: pool.prepare((db) => ({ statement: db.select(fields).from(tasks).where(mine), fields })),
    scan: pool.prepare((db) => ({ statement: db.select(fields).from(tasks).where(mine), fields, scan: true })),
    write: pool.prepare((db) => ({ statement: db.delete(tasks).where(mine).returning(fields), fields })),
    /** What was sent since the last time. */
    sent: () => sent.splice(0),
    /** Answers the first of an owner's, and waits until what follows is sent. */
    async answer(name: string) {
      const index = answers.findIndex(({ owner }) => owner === name)
      answers.splice(index, 1)[0]?.answer()
      await turn()
    }
  }
}

/** Stops the clock and holds back the checks of the queue. */
const holdTime = (t: Test) => ({ advance: stopClock(t), checks: holdTimers(t, QUEUE_CHECK_MS) })

const user = (i: number) => `user-${i}` as Owner

t.test('reads take an idle connection, or share one with reads while that is quick', async (t) => {
  const time = holdTime(t)
  const { pool, read, scan, sent, answer } = holding(3, 0)
  scan(user(0))
  for (let i = 1; i < 10; i++) read(user(i))
  t.same(
    sent(),
    [0, 1, 2, 3, 4, 5, 6, 7, 8].map((i) => `user-${i} ${i === 0 ? 0 : 2 - (i % 2)}`)
  )
  t.same(pool.load(), { pending: 10, queued: 1, busy: 3, idle: 0 })
  scan(user(10))
  await answer('user-1')
  t.same(sent(), ['user-9 1'])
  read(user(11))
  for (const name of ['user-3', 'user-5', 'user-7']) await answer(name)
  t.same(sent(), [], 'what waits for a connection to itself is not overtaken')
  await answer('user-9')
  t.same(sent(), ['user-10 1'])

  time.advance(21)
  await answer('user-2')
  t.same(sent(), ['user-11 2'])
  await answer('user-4')
  time.advance(20)
  read(user(12))
  t.same(sent(), ['user-12 2'], 'PostgreSQL began with the next one when it had answered the one before')
  await answer('user-6')
  time.advance(21)
  read(user(13))
  t.same(sent(), [], 'nothing is sent behind what is slow')
  await answer('user-0')
  t.same(sent(), ['user-13 0'])
  for (const i of [8, 10, 11, 12, 13]) await answer(user(i))
  t.same(pool.load(), { pending: 0, queued: 0, busy: 0, idle: 3 })
})

t.test('writes share a connection, each of an owner who has nothing else in flight (issue 19)', async (t) => {
  const time = holdTime(t)
  const { pool, read, scan, write, sent, answer } = holding(8, 0)
  for (let i = 0; i < 6; i++) scan(`other-${i}` as Owner)
  sent()
  read(user(0))
  for (let i = 1; i < 6; i++) write(user(i))
  t.same(
    sent(),
    [0, 1, 2, 3, 4].map((i) => `user-${i} ${i === 0 ? 6 : 7}`)
  )
  t.same(pool.load(), { pending: 12, queued: 1, busy: 8, idle: 0 })
  await answer('user-2')
  t.same(sent(), ['user-5 7'])
  await answer('user-0')
  write(user(1))
  t.same(sent(), ['user-1 6'])
  write(user(6))
  t.same(sent(), [], 'nobody shares with a write that may wait for its owner')
  await answer('user-3')
  t.same(sent(), ['user-6 7'])

  write(user(4))
  await answer('user-1')
  await answer('user-1')
  t.same(pool.load(), { pending: 10, queued: 1, busy: 7, idle: 1 }, 'a write that is behind others is not overtaken')
  write(user(7))
  await turn()
  t.same(sent(), ['user-7 6'], 'others go on')
  await answer('user-4')
  t.same(sent(), ['user-4 6'])
  pool.transaction(user(4), async () => {}).catch(() => {})
  for (const name of ['user-7', 'other-0']) await answer(name)
  t.same(pool.load(), { pending: 9, queued: 1, busy: 7, idle: 1 }, 'a transaction waits for a write of its owner')
  await answer('user-4')
  t.same(pool.load(), { pending: 7, queued: 0, busy: 6, idle: 2 })

  write(user(8), {}, new Deadline(performance.now() + 999))
  for (const i of [9, 10]) write(user(i))
  t.same(sent(), ['user-8 0', 'user-9 6', 'user-10 6'], 'nobody shares with a write that may soon be stopped')
  time.advance(21)
  write(user(11))
  t.same(sent(), [], 'nothing is sent behind what is slow')
})

t.test('owners have their turns, and beside others none has more than a share', async (t) => {
  const time = holdTime(t)
  const { read, write, sent, answer } = holding(8, 0)
  for (let i = 0; i < 33; i++) read(alice)
  t.equal(sent().length, 32, 'who is alone may have all')
  write(bob)
  for (let i = 0; i < 4; i++) await answer('alice')
  t.same(sent(), [], 'a burst is not served on while another waits')
  for (let i = 0; i < 28; i++) await answer('alice')
  t.equal(sent()[0], 'bob 0')
  await answer('alice')

  for (let i = 0; i < 6; i++) write(alice)
  for (let i = 0; i < 2; i++) write(carol)
  await turn()
  t.same(sent(), ['alice 1', 'alice 2', 'carol 3', 'carol 4'], 'a quarter of the connections')
  await answer('carol')
  t.same(sent(), [])
  await answer('alice')
  t.same(sent(), ['alice 1'])
  time.advance(1001)
  await answer('alice')
  t.same(sent(), ['alice 2', 'alice 3', 'alice 5'], 'and all of them when nobody has asked for a second')
})

t.test('scans have few connections of their own, each owner one at a time', async (t) => {
  holdTime(t)
  const { pool, read, scan, sent, answer } = holding(2, 2)
  for (let i = 0; i < 3; i++) scan(alice)
  t.same(sent(), ['alice scan 0'], 'even when alone')
  for (const owner of [bob, carol, bob]) scan(owner)
  await turn()
  t.same(sent(), ['bob scan 1'])
  read(carol)
  t.same(sent(), ['carol 0'])
  t.same(pool.load(), { pending: 7, queued: 4, busy: 3, idle: 1 })
  await answer('alice')
  t.same(sent(), ['alice scan 0'])
  await answer('bob')
  t.same(sent(), ['carol scan 1'], 'in turn')
})

t.test('what waits is dropped when its time or that of its request is up', async (t) => {
  const time = holdTime(t)
  const { pool, read, write, scan, sent, answer } = holding(1, 1)
  const failing = (one: Promise<unknown>) => one.then(String, ({ code, query }) => [code, typeof query])
  const deadlines = Array.from({ length: 4 }, () => new Deadline(performance.now() + 4700))
  read(alice, {}, deadlines[0])
  scan(alice)
  const over = [write(bob, {}, deadlines[1]), read(carol, {}, deadlines[2]), scan(bob, {}, deadlines[3])].map(failing)
  const late = [read(bob), scan(carol)].map(failing)
  sent()
  deadlines[1]?.expire()
  deadlines[2]?.close()
  deadlines[3]?.close()
  await answer('alice')
  t.same(sent(), ['bob 0'], 'neither what its client left nor what has been answered')
  t.same(await Promise.all(over.slice(0, 2)), Array(2).fill(['DEADLINE_OVER', 'string']))
  late.push(failing(write(bob)))
  const check = () => time.checks.runAll()
  check()
  t.same(await over[2], ['DEADLINE_OVER', 'string'])
  for (let i = 0; i < 9; i++) check()
  t.equal(pool.load().queued, 2)
  check()
  t.same(await late[2], ['QUEUE_TIMEOUT', 'string'], 'after a second')
  for (let i = 0; i < 10; i++) check()
  t.same(await late[1], ['QUEUE_TIMEOUT', 'string'], 'and a scan after two')
  check()
  t.equal(time.checks.count(), 0)
  await answer('bob')
  t.same(await failing(write(alice, {}, deadlines[1])), ['DEADLINE_OVER', 'string'], 'nor is it taken')
  t.same(sent(), [])
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
  const nowhere = await openDatabase(database, pino({ level: 'silent' }))
  t.teardown(nowhere.close)
  t.match(
    await nowhere.preconnect(),
    [{ status: 'rejected' }, { status: 'rejected' }],
    'one that is not there is no fault yet'
  )
})
