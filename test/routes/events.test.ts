import { sql } from 'drizzle-orm'
import type { FastifyInstance } from 'fastify'
import pino from 'pino'
import t from 'tap'
import type { Owner } from '../../src/auth/user.ts'
import { FeedStore } from '../../src/changes/feed.ts'
import { HEARTBEAT_MS } from '../../src/changes/wake-up.ts'
import { openDatabase } from '../../src/db/open.ts'
import { type OwnedBy, ownedBy } from '../../src/db/owned.ts'
import { changes, feeds } from '../../src/db/system-tables.ts'
import { asUser, build, newUser, testConfig } from '../support/app.ts'
import { watch } from '../support/events.ts'
import { client } from '../support/http.ts'
import { taskStore } from '../support/tasks.ts'
import { holdTimers } from '../support/timers.ts'

const SERVER = process.env.TEST_DATABASE_URL !== undefined

/** Routes that change a feed in ways that no user can. */
function operator(app: FastifyInstance) {
  const [feed, log] = [app.owned(feeds), app.owned(changes)]
  const done = { userId: feeds.userId }
  const acts = {
    expire: feed.prepare((own) => own.update({ expiresAt: sql`now() - interval '1 s'` }).returning(done)),
    unsettle: feed.prepare((own) => own.update({ startedBy: sql`'999999999999'::xid8` }).returning(done)),
    advance: feed.prepare((own) => own.update({ seq: sql`${feeds.seq} + 999` }).returning(done)),
    forget: log.prepare((own) => own.delete().returning({ seq: changes.seq })),
    some: log.prepare((own) => own.delete(sql`${changes.seq} % 2 = 0`).returning({ seq: changes.seq }))
  }
  app.post<{ Params: { act: keyof typeof acts } }>(
    '/operator/:act',
    { onRequest: app.authenticate },
    ({ user, params }) => acts[params.act](user.sub)
  )
  const failing = { resource: 'tasks', member: 'task', load: () => Promise.reject(new Error('no')) }
  app.get('/failing', { onRequest: app.authenticate }, (request, reply) => app.sendChanges(request, reply, [failing]))
}

const create = async (app: FastifyInstance, user: string, title = 'Buy milk') =>
  (await client(app, asUser(user))('POST', '', { title })).json()
const update = (app: FastifyInstance, user: string, id: string, title = 'Changed') =>
  client(app, asUser(user))('PATCH', `/${id}`, { title })
const remove = (app: FastifyInstance, user: string, id: string) => client(app, asUser(user))('DELETE', `/${id}`)

t.test('changes', async (t) => {
  const app = await build(t, { RATE_LIMIT_MAX: 'off', CORS_ORIGIN: 'https://app.example.com' }, operator)
  const act = (user: string, act: string) =>
    app.inject({ method: 'POST', url: `/operator/${act}`, headers: asUser(user) })
  // Without heartbeats, a test that passes has received its events at once.
  holdTimers(t, HEARTBEAT_MS)
  // With a server, one instance writes and another one tells.
  const writer = SERVER ? await build(t, { RATE_LIMIT_MAX: 'off' }) : app

  t.test('each is told as it happens, to its user and to nobody else', async (t) => {
    const [alice, bob] = [newUser('alice'), newUser('bob')]
    const stream = await watch(t, app, alice)
    const others = await watch(t, app, bob)
    t.equal(stream.response.status, 200)
    t.match(Object.fromEntries(stream.response.headers), {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
      vary: /Authorization/,
      'x-request-id': /./
    })
    t.match(await stream.next(), { event: 'reload', id: /^\d{16}$/, data: '{}' })
    t.match(await others.next(), { event: 'reload' })

    const task = await create(writer, alice)
    const created = await stream.next()
    t.equal(created?.event, 'created')
    t.same(JSON.parse(String(created?.data)), { id: task.id, version: 1, task })
    const changed = (await update(writer, alice, task.id)).json()
    t.same(JSON.parse(String((await stream.next())?.data)), { id: task.id, version: 2, task: changed })
    await remove(writer, alice, task.id)
    t.match(await stream.next(), { event: 'deleted', data: JSON.stringify({ id: task.id, version: 2 }) })

    // An update by another user changes nothing, and a create that is sent twice happens once.
    await update(writer, bob, task.id)
    const headers = { ...asUser(alice), 'idempotency-key': 'once' }
    for (let times = 0; times < 2; times++) {
      await writer.inject({ method: 'POST', url: '/api/tasks', headers, payload: { title: 'Once' } })
    }
    const mine = await create(writer, bob)
    const failed = { create: [{ title: 'never' }], delete: [{ id: task.id }] }
    for (const payload of [failed, { create: [{ title: 'a' }, { title: 'b' }] }]) {
      await writer.inject({ method: 'POST', url: '/api/tasks/batch', headers: asUser(alice), payload })
    }
    const titles: string[] = []
    for (let i = 0; i < 3; i++) titles.push(JSON.parse(String((await stream.next())?.data)).task.title)
    t.same(titles, ['Once', 'a', 'b'])
    t.same(await others.changes(1), [['created', mine.id, 1]])
  })

  t.test('whoever was away for 100 changes gets exactly those, in order', async (t) => {
    const user = newUser()
    const first = await watch(t, app, user)
    await first.next()
    const before = await create(writer, user)
    await first.changes(1)
    first.close()
    const expected: unknown[] = []
    for (let i = 0; i < 32; i++) {
      const { id } = await create(writer, user)
      await update(writer, user, id)
      await remove(writer, user, id)
      expected.push(['created', id, 1], ['updated', id, 2], ['deleted', id, 2])
    }
    for (let version = 2; version <= 5; version++) {
      await update(writer, user, before.id)
      expected.push(['updated', before.id, version])
    }
    const again = await watch(t, app, user, { lastId: first.lastId })
    const got = []
    for (let i = 0; i < 100; i++) {
      const { event, data } = (await again.next()) ?? {}
      const { id, version, task } = JSON.parse(String(data))
      got.push([event, id, version])
      // The event of a deleted task has no task, and another event has the task as it is now.
      t.equal(task?.version, event === 'deleted' || id !== before.id ? undefined : 5)
    }
    t.same(got, expected)
    const { id } = await create(writer, user)
    t.same(await again.changes(1), [['created', id, 1]], 'then what comes')
  })

  t.test('whoever was away too long is told to load the list, and hears what comes', async (t) => {
    const user = newUser()
    const first = await watch(t, app, user)
    await first.next()
    for (let i = 0; i < 4; i++) await create(writer, user)
    await first.changes(4)
    first.close()
    const head = Number(first.lastId)
    const reloads = async (lastId: string | undefined) => {
      const stream = await watch(t, app, user, { lastId })
      const event = await stream.next()
      stream.close()
      return event
    }
    for (const id of ['1', `${head + 1}`, `${head - 1001}`, 'x', '', '-1', '1e3', '9'.repeat(40)]) {
      t.match(await reloads(id), { event: 'reload', id: `${head}` }, id)
    }
    await act(user, 'some')
    t.match(await reloads(`${head - 3}`), { event: 'reload', id: `${head}` }, 'some are gone')
    await act(user, 'forget')
    t.match(await reloads(`${head - 1}`), { event: 'reload', id: `${head}` }, 'all are gone')
    await act(user, 'expire')
    await create(writer, user)
    const restarted = await watch(t, app, user, { lastId: `${head}` })
    t.equal((await restarted.next())?.event, 'reload', 'nothing was recorded meanwhile')
    t.ok(Number(restarted.lastId) > head)
    const { id } = await create(writer, user)
    t.same(await restarted.changes(1), [['created', id, 1]])
  })

  t.test('whoever missed more than 1,000 changes is told to load the list', async (t) => {
    const user = newUser()
    const first = await watch(t, app, user)
    await first.next()
    const { lastId } = first
    first.close()
    await create(writer, user)
    await act(user, 'advance')
    for (const event of ['created', 'reload']) {
      const stream = await watch(t, app, user, { lastId })
      t.match(await stream.next(), { event })
      stream.close()
      await act(user, 'advance')
    }
  })

  t.test('two streams of a new user at once', async (t) => {
    const user = newUser()
    const streams = await Promise.all([1, 2, 3].map(() => watch(t, app, user)))
    for (const stream of streams) t.match(await stream.next(), { event: 'reload' })
    const { id } = await create(writer, user)
    for (const stream of streams) t.same(await stream.changes(1), [['created', id, 1]])
  })

  t.test('whatever is written at once, and however often they come back, each change is told once', async (t) => {
    const WRITERS = 8
    const write = async (user: string, n: number) => {
      const headers = asUser(user)
      const { id } = await create(n % 2 ? app : writer, user)
      const payload = { create: [{ title: 'x' }], update: [{ id, change: { completed: true } }] }
      const answers = await Promise.all([
        update(app, user, id),
        writer.inject({ method: 'POST', url: '/api/tasks/batch', headers, payload }),
        update(writer, user, id)
      ])
      for (const { statusCode } of answers) t.equal(statusCode, 200)
    }
    const users = [newUser('a'), newUser('b')]
    await Promise.all(
      users.map(async (user) => {
        let stream = await watch(t, app, user)
        const start = Number((await stream.next())?.id)
        const writing = Promise.all(Array.from({ length: WRITERS }, (_, n) => write(user, n)))
        const versions = new Map<string, number>()
        for (let n = 1; n <= WRITERS * 5; n++) {
          const event = await stream.next()
          t.equal(Number(event?.id), start + n, 'none is missing, none told twice')
          const { id, version } = JSON.parse(String(event?.data))
          t.equal(version, (versions.get(id) ?? 0) + 1, 'in the order that it was done')
          versions.set(id, version)
          if (n % 7 > 0) continue
          stream.close()
          stream = await watch(t, app, user, { lastId: stream.lastId })
        }
        await writing
        const list = (await app.inject({ url: '/api/tasks?limit=100', headers: asUser(user) })).json()
        t.same(new Map(list.map(({ id, version }: { id: string; version: number }) => [id, version])), versions)
      })
    )
  })
})

t.test('changes and feeds are swept when their day is over, whosever they are', async (t) => {
  for (const rls of ['false', 'true']) {
    const { database } = await testConfig({ DATABASE_RLS: rls, DATABASE_POOL_MAX: '1' })
    const connection = await openDatabase(database, pino({ level: 'silent' }))
    const { prepare, deleteExpired: sweep, close } = connection
    // It finds out whether triggers record the changes (test/src/db/citus.test.ts).
    t.equal(await connection.readinessProblem(['tasks', 'feeds']), undefined)
    const owned: OwnedBy = (table, options) => ownedBy(prepare, table, options?.recorded)
    const [tasks, store, own] = [taskStore(owned), new FeedStore(owned), owned(feeds)]
    const done = { userId: feeds.userId }
    const find = own.prepare((own) => own.select(done))
    const expire = own.prepare((own) => {
      const expiresAt = sql`now() + make_interval(secs => ${sql.placeholder('left')})`
      return own.update({ expiresAt }).returning(done)
    })
    const age = owned(changes).prepare((own) => {
      const hours = sql`make_interval(hours => ${sql.placeholder('hours')})`
      return own.update({ createdAt: sql`now() - ${hours}` }).returning({ seq: changes.seq })
    })
    const [alice, bob, carol] = [newUser('alice'), newUser('bob'), newUser('carol')] as [Owner, Owner, Owner]
    // The pool has one connection, so the second request finds the feed that the first one made.
    const [one, other] = await Promise.all([store.open(carol), store.open(carol)])
    t.equal(one.key, other.key, 'streams that begin at once have one feed')
    const starts = new Map<Owner, number>()
    for (const user of [alice, bob]) {
      starts.set(user, (await store.open(user)).seq)
      await tasks.create(user, { title: 'x' })
    }
    const kept = async () => {
      const lasts = [alice, bob].map(async (user) => [
        (await find(user)).length,
        (await store.after(user, starts.get(user) ?? 0)).length
      ])
      return Promise.all(lasts)
    }
    await sweep()
    t.same(await kept(), [
      [1, 1],
      [1, 1]
    ])
    await age(alice, { hours: 25 })
    await age(bob, { hours: 23 })
    await expire(alice, { left: 60 })
    await expire(bob, { left: -1 })
    await sweep()
    t.same(await kept(), [
      [1, 0],
      [0, 1]
    ])
    await close()
  }
})
