import { sql } from 'drizzle-orm'
import pino from 'pino'
import t, { type Test } from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { connect } from '../../../src/db/connect.ts'
import { classify, codeOf } from '../../../src/db/errors.ts'
import { ownedBy } from '../../../src/db/owned.ts'
import { tasks } from '../../../src/db/schema.ts'
import { asUser, build, newUser, testConfig } from '../../support/app.ts'
import { taskStore } from '../../support/tasks.ts'

/** Opens a pool of one connection, so that each statement follows the one before on the same connection. */
async function open(t: Test, env: Record<string, string> = {}) {
  const { database } = await testConfig({ DATABASE_POOL_MAX: '1', ...env })
  const logged: string[] = []
  const connection = await connect(database, pino({ level: 'error' }, { write: (line) => void logged.push(line) }))
  t.teardown(connection.close)
  return { ...connection, logged, store: taskStore((table) => ownedBy(connection.prepare, table)) }
}

/** Answers some rows, and then fails. */
const FAILING = 'select 1 / (3 - g) from generate_series(1, 5) g'

t.test('a statement that fails after its first rows leaves none to the next (issue 15)', async (t) => {
  const { db, transaction, store } = await open(t)
  const { $client: client } = db
  const alice = newUser('alice') as Owner
  const fails = async (one: Promise<unknown>) => t.equal(codeOf(await one.catch((error) => error)), '22012')

  await fails(client.send(FAILING))
  t.same(await client.send("select 'mine'"), [['mine']])
  await fails(client.send(FAILING))
  t.same(await client.send('select 1 where false'), [])
  const pipelined = [
    client.send(FAILING),
    client.send(FAILING),
    client.send('select n::text from generate_series(1, 2) n')
  ]
  await Promise.all(pipelined.slice(0, 2).map(fails))
  t.same(await pipelined[2], [['1'], ['2']], 'in a pipeline')
  await fails(client.transaction((send) => send(FAILING)))
  await fails(
    client.transaction((send) => {
      const all = [send(FAILING), send("select 'none'")]
      all[1]?.catch(() => {})
      return Promise.all(all)
    })
  )
  const created = await transaction(alice, (one) => store.create(alice, { title: 'x' }, one))
  t.match(await store.get(alice, created.id), { id: created.id }, 'in a transaction')
  await fails(client.send(FAILING))
  t.match(await db.execute(sql`select 'mine' as whose`), [{ whose: 'mine' }], 'nor to one of a command')
})

t.test('nor over HTTP, where the next is of another user (issue 15)', async (t) => {
  for (const DATABASE_RLS of ['false', 'true']) {
    const app = await build(t, { DATABASE_RLS, DATABASE_POOL_MAX: '1' }, (app) => {
      const fields = { n: sql<number>`1 / (3 - ${tasks.title}::int)` }
      const failing = app.owned(tasks).prepare((own) => own.select(fields).orderBy(tasks.title))
      app.get('/failing', { onRequest: app.authenticate }, ({ user }) => failing(user.sub))
    })
    const [alice, bob] = [asUser(newUser('alice')), asUser(newUser('bob'))]
    const create = (headers: object, title: string) =>
      app.inject({ method: 'POST', url: '/api/tasks', headers: { ...headers }, payload: { title } })
    for (const title of ['1', '2', '3', '4']) await create(alice, title)
    const url = `/api/tasks/${(await create(bob, 'own')).json().id}`
    for (const options of [{ url }, { url, method: 'PATCH', payload: { completed: true } }] as const) {
      const [failed, own] = await Promise.all([
        app.inject({ url: '/failing', headers: alice }),
        app.inject({ ...options, headers: bob })
      ])
      t.equal(failed.statusCode, 400)
      t.equal(own.statusCode, 200)
      t.match(own.json(), { title: 'own' })
    }
    await app.close()
  }
})

t.test('a connection that is left in a failed transaction is given up (issue 15)', async (t) => {
  // The embedded engine has one session, whatever the connection.
  if (process.env.TEST_DATABASE_URL === undefined) return
  for (const rls of ['false', 'true']) {
    const { db, store, transaction } = await open(t, { DATABASE_RLS: rls })
    const alice = newUser('alice') as Owner
    const { id } = await store.create(alice, { title: 'x' })
    const leave = async () => {
      await db.execute(sql`begin`)
      await t.rejects(db.execute(sql`select 1 / 0`))
    }
    await leave()
    t.match(await store.get(alice, id), { id }, 'a read is done on another one')
    await leave()
    t.match(await store.update(alice, id, { completed: true }), { id }, 'so is a write, of which nothing was done')
    await leave()
    t.match(await transaction(alice, (one) => store.get(alice, id, one)), { id }, 'and a transaction')
  }
})

t.test('a prepared statement that PostgreSQL does not know is prepared anew, and told of once', async (t) => {
  const { db, store, logged } = await open(t)
  const alice = newUser('alice') as Owner
  const { id } = await store.create(alice, { title: 'x' })
  for (let i = 0; i < 2; i++) {
    await store.get(alice, id)
    await db.execute(sql`deallocate all`)
    t.match(await store.get(alice, id), { id })
  }
  t.equal(logged.length, 1)
  t.match(logged[0], 'DATABASE_PREPARE=false')
})

t.test('what says that the state of a connection is not ours to know is no fault of ours', async (t) => {
  for (const code of ['25P02', '26000', '42P05', 'QUEUE_TIMEOUT', 'DEADLINE_OVER', 'COMMIT_FAILED']) {
    t.equal(classify({ code }), 'unavailable', code)
  }
})
