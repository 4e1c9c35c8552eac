import { sql } from 'drizzle-orm'
import pino from 'pino'
import t, { type Test } from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { classify, codeOf } from '../../../src/db/errors.ts'
import { tasks } from '../../../src/db/schema.ts'
import { asUser, build, newUser } from '../../support/app.ts'
import { openSession } from '../../support/session.ts'

/** Opens a pool of one connection, so that each statement follows the one before on the same connection. */
async function open(t: Test, env: Record<string, string> = {}) {
  const logged: string[] = []
  const log = pino({ level: 'error' }, { write: (line) => void logged.push(line) })
  return { ...(await openSession(t, { DATABASE_POOL_MAX: '1', ...env }, log)), logged }
}

t.test('a statement that fails after its first rows leaves none to the next in a transaction (issue 15)', async (t) => {
  const { send, transaction, store } = await open(t)
  const alice = newUser('alice') as Owner
  const failing = () => send('select 1 / (3 - g) from generate_series(1, 5) g').catch(codeOf)
  t.equal(await failing(), '22012')
  const created = await transaction(alice, (one) => store.create(alice, { title: 'x' }, one))
  t.match(await store.get(alice, created.id), { id: created.id })
})

t.test('nor does it over HTTP, where the next is of another user (issue 15)', async (t) => {
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
    const { send, store, transaction } = await open(t, { DATABASE_RLS: rls })
    const alice = newUser('alice') as Owner
    const { id } = await store.create(alice, { title: 'x' })
    const leave = async () => {
      await send('begin')
      await t.rejects(send('select 1 / 0'))
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
  const { send, store, logged } = await open(t)
  const alice = newUser('alice') as Owner
  const { id } = await store.create(alice, { title: 'x' })
  for (let i = 0; i < 2; i++) {
    await store.get(alice, id)
    await send('deallocate all')
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
