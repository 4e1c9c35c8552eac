import { once } from 'node:events'
import { sql } from 'drizzle-orm'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { STREAM_MAX_MS } from '../../plugins/streams.ts'
import type { Owner } from '../../src/auth/user.ts'
import { FeedStore, SETTLE_MS } from '../../src/changes/feed.ts'
import { GRACE_MS } from '../../src/changes/hub.ts'
import { streamOf } from '../../src/changes/stream.ts'
import { HEARTBEAT_MS, WakeUp } from '../../src/changes/wake-up.ts'
import { feeds } from '../../src/db/system-tables.ts'
import { asUser, build, databaseUrl, metric, newUser } from '../support/app.ts'
import { type Watch, watch } from '../support/events.ts'
import { client, openSocket, requestText } from '../support/http.ts'
import { type HeldTimers, holdTimers } from '../support/timers.ts'

const SERVER = process.env.TEST_DATABASE_URL !== undefined
const ONE_SESSION = 'the embedded engine has one session'

/** The timer of a stream's end has a duration of its own, and no other timer is as long. */
const isLife = (ms: number) => ms > 500_000

const create = async (app: FastifyInstance, user: string) =>
  (await client(app, asUser(user))('POST', '', { title: 'x' })).json()

/** Waits until a statement waits for an advisory lock. */
async function blocked(client: postgres.Sql): Promise<void> {
  for (let waits = false; !waits; ) {
    waits = (await client`select from pg_locks where locktype = 'advisory' and not granted`).length > 0
  }
}

t.test('streams', async (t) => {
  let arrivals = 0
  const app = await build(
    t,
    {
      RATE_LIMIT_MAX: 'off',
      STREAMS_PER_USER_MAX: '2',
      STREAMS_MAX: '3',
      JWT_REQUIRED_CLAIMS: 'sub',
      DATABASE_POOL_MAX: '1'
    },
    (app) => {
      const own = app.owned(feeds)
      const startedBy = sql`${sql.placeholder('number')}::xid8`
      const done = { userId: feeds.userId }
      const settle = own.prepare((own) => own.update({ startedBy }).returning(done))
      const remove = own.prepare((own) => own.delete().returning(done))
      const { authenticate: onRequest } = app
      // A restore from another cluster leaves such numbers, because that cluster's transactions had greater ones.
      app.post('/unsettle', { onRequest }, ({ user }) => settle(user.sub, { number: '999999999999' }))
      app.post('/settle', { onRequest }, ({ user }) => settle(user.sub, { number: '3' }))
      app.post('/remove', { onRequest }, ({ user }) => remove(user.sub))
      const load = () => Promise.reject(new Error('It cannot be loaded'))
      app.get('/failing', { onRequest: app.authenticate }, (request, reply) =>
        app.sendChanges(request, reply, [{ resource: 'tasks', member: 'task', load }])
      )
      app.get('/silent', () => new Promise(() => {}))
      // The client leaves while a hook waits, as a hook that asks Redis does.
      const left = async ({ raw }: FastifyRequest) => void (raw.socket.destroyed || (await once(raw.socket, 'close')))
      app.get('/left', { onRequest: [app.authenticate, left] }, (request, reply) =>
        app.sendChanges(request, reply, [{ resource: 'tasks', member: 'task', load }]).finally(() => arrivals++)
      )
      app.get('/stepwise', { onRequest: app.authenticate }, async ({ user }) => {
        const asked: number[] = []
        const store = new FeedStore(app.owned)
        const source = {
          resource: 'tasks',
          member: 'task',
          load: async (_owner: Owner, ids: string[]) => {
            asked.push(ids.length)
            return []
          }
        }
        const feed = await store.open(user.sub)
        const events = streamOf(store, user.sub, [source], feed, String(feed.seq - 10), new WakeUp())
        const steps: number[][] = []
        for (let step = 0; step < 7; step++) {
          await events.next()
          steps.push([...asked])
        }
        await events.return(undefined)
        return steps
      })
      app.get('/others', { onRequest: app.authenticate }, (request, reply) =>
        app.sendChanges(request, reply, [{ resource: 'others', member: 'other', load }])
      )
    }
  )
  /** Waits until so many streams are open. */
  const open = async (n: number) => {
    while (metric(app, 'streams') !== n) await new Promise(setImmediate)
  }

  /** A stream that opens begins only when `finish` has committed the task "late", which its list then has. */
  async function waitsFor(
    t: Test,
    user: string,
    opening: Promise<Watch>,
    fire: HeldTimers['fire'],
    finish: () => PromiseLike<unknown>
  ) {
    const first = await Promise.race([opening.then(() => 'begins'), fire().then(() => 'waits')])
    t.equal(first, 'waits')
    await finish()
    // The stream waits again while a transaction of another test is older, because all databases of a server share one
    // horizon.
    for (let begins = false; !begins; ) {
      begins = await Promise.race([opening.then(() => true), fire().then(() => false)])
    }
    t.match(await (await opening).next(), { event: 'reload' })
    t.match((await app.inject({ url: '/api/tasks', headers: asUser(user) })).json(), [{ title: 'late' }])
  }

  const act = (user: string, url: string) => app.inject({ method: 'POST', url, headers: asUser(user) })

  t.beforeEach(() => open(0))

  t.test('are bounded per user and in all', async (t) => {
    const [alice, bob] = [newUser('alice'), newUser('bob')]
    const streams = [await watch(t, app, alice), await watch(t, app, alice)]
    t.equal((await watch(t, app, bob)).response.status, 200)
    const full = await watch(t, app, newUser())
    t.equal(full.response.status, 503)
    t.equal(full.response.headers.get('retry-after'), '1')
    streams[0]?.close()
    await open(2)
    t.equal((await watch(t, app, alice)).response.status, 200, 'a place that was left is free')
  })

  t.test('of connections that were lost lock nobody out: a new one replaces the oldest (issue 16)', async (t) => {
    const { fire } = holdTimers(t, GRACE_MS)
    const user = newUser()
    const [oldest, other] = [await watch(t, app, user), await watch(t, app, user)]
    await oldest.next()
    await other.next()
    const newest = await watch(t, app, user)
    t.equal(newest.response.status, 200)
    await newest.next()
    const end = await oldest.next()
    t.match(end, { event: 'end', data: '{"reason":"replaced"}' })
    t.ok(Number(oldest.retry) >= 60_000, 'and comes back later than after another end')
    t.equal(await oldest.next(), undefined)
    const { id } = await create(app, user)
    for (const stream of [other, newest]) t.same(await stream.changes(1), [['created', id, 1]])
    await fire()
  })

  t.test('need a scope, and a HEAD tells what a GET would', async (t) => {
    const writer = asUser('alice', { scope: 'tasks:write' })
    t.equal((await app.inject({ url: '/api/tasks/events', headers: writer })).statusCode, 403)
    const head = await app.inject({ method: 'HEAD', url: '/api/tasks/events', headers: asUser('alice') })
    t.equal(head.statusCode, 200)
    t.equal(head.headers['content-type'], 'text/event-stream; charset=utf-8')
    t.equal(head.headers['content-length'], undefined)
    t.equal(metric(app, 'streams'), 0)
    const post = await app.inject({ method: 'POST', url: '/api/tasks/events', headers: asUser('alice') })
    t.equal(post.statusCode, 405)
    t.equal(post.headers.allow, 'GET, HEAD, OPTIONS')
  })

  t.test('end with the token, or after an hour, and say so', async (t) => {
    const { fire } = holdTimers(t, isLife)
    const short = await watch(t, app, newUser(), { claims: { exp: Math.floor(Date.now() / 1000) + 900 } })
    await short.next()
    const ms = await fire((ms) => ms < STREAM_MAX_MS)
    t.ok(ms > 890_000 && ms <= 900_000, `${ms} ms`)
    t.match(await short.next(), { event: 'end', id: undefined, data: '{"reason":"token_expired"}' })
    t.equal(await short.next(), undefined)
    const endless = await watch(t, app, newUser(), { claims: { exp: undefined, iat: undefined } })
    await endless.next()
    await fire(STREAM_MAX_MS)
    t.match(await endless.next(), { event: 'end', data: '{"reason":"reconnect"}' })
  })

  t.test('tell a change that is there before they end', async (t) => {
    const { fire } = holdTimers(t, isLife)
    const user = newUser()
    const stream = await watch(t, app, user)
    await stream.next()
    const { id } = await create(app, user)
    await fire()
    t.same(await stream.changes(1), [['created', id, 1]])
    t.match(await stream.next(), { event: 'end' })
  })

  t.test('are never silent for long, and look for what nobody told them', async (t) => {
    const { fire } = holdTimers(t, HEARTBEAT_MS)
    const stream = await watch(t, app, newUser())
    await stream.next()
    for (let times = 0; times < 3; times++) {
      await fire()
      t.match(await stream.next(), { event: 'comment' })
    }
  })

  t.test('are cut when nobody reads their end', async (t) => {
    const { fire } = holdTimers(t, (ms) => isLife(ms) || ms === GRACE_MS)
    const stream = await watch(t, app, newUser())
    await stream.next()
    t.equal(metric(app, 'streams'), 1)
    await fire(isLife)
    await fire(GRACE_MS)
    await open(0)
  })

  t.test('load the items of four changes at a time, the next when those were taken', async (t) => {
    const user = newUser()
    const stream = await watch(t, app, user)
    await stream.next()
    for (let times = 0; times < 10; times++) await create(app, user)
    await stream.changes(10)
    stream.close()
    const steps = (await app.inject({ url: '/stepwise', headers: asUser(user) })).json()
    // The first step sends the reconnection time.
    t.same(steps, [[], [4], [4], [4], [4], [4, 4], [4, 4]])
  })

  t.test('whose client has left give their place back, behind an unfinished answer too', async (t) => {
    const headers = asUser(newUser())
    const ask = (url: string) => requestText('GET', url, headers)
    const { port } = app.server.address() as { port: number }
    const pipelined = openSocket(port)
    pipelined.write(ask('/silent') + ask('/api/tasks/events'))
    await open(1)
    pipelined.destroy()
    await open(0)
    const leaving = openSocket(port)
    leaving.end(ask('/left'))
    leaving.resume()
    await once(leaving, 'connect')
    leaving.destroy()
    while (arrivals === 0) await new Promise(setImmediate)
    t.equal(metric(app, 'streams'), 0)
  })

  t.test('of another resource are not told of a task', async (t) => {
    const user = newUser()
    const [others, tasks] = [await watch(t, app, user, { url: '/others' }), await watch(t, app, user)]
    await others.next()
    await tasks.next()
    const { fire } = holdTimers(t, HEARTBEAT_MS)
    await create(app, user)
    await tasks.changes(1)
    await fire()
    await fire()
    t.match(await others.next(), { event: 'comment' })
  })

  t.test('that cannot be read end, and may come again', async (t) => {
    const user = newUser()
    const stream = await watch(t, app, user, { url: '/failing' })
    await stream.next()
    await create(app, user)
    t.match(await stream.next(), { event: 'end', data: '{"reason":"reconnect"}' })
    t.equal(await stream.next(), undefined)
  })

  t.test('wait for writes that may not have seen the feed, but not for ever', async (t) => {
    const user = newUser()
    const first = await watch(t, app, user)
    await first.next()
    first.close()
    await act(user, '/unsettle')
    const { fire } = holdTimers(t, SETTLE_MS)
    const opening = watch(t, app, user)
    for (let times = 0; times < 30; times++) await fire()
    t.match(await (await opening).next(), { event: 'reload' })
  })

  t.test('begin when a write is over that did not see the feed', { skip: !SERVER && ONE_SESSION }, async (t) => {
    const user = newUser()
    const writer = postgres(await databaseUrl(), { max: 1 })
    t.teardown(() => writer.end())
    await writer`begin`
    await writer`insert into tasks (user_id, id, title) values (${user}, gen_random_uuid(), 'late')`
    const { fire } = holdTimers(t, SETTLE_MS)
    const opening = watch(t, app, user)
    await waitsFor(t, user, opening, fire, () => writer`commit`)
  })

  t.test(
    'begin when a write is over that began while the feed was made (issue 16)',
    { skip: !SERVER && ONE_SESSION },
    async (t) => {
      const user = newUser()
      const [holder, writer] = [postgres(await databaseUrl(), { max: 1 }), postgres(await databaseUrl(), { max: 1 })]
      // The commit of a feed waits for a lock, as it waits for a slow disk.
      await holder`create function hold() returns trigger language plpgsql
      as 'begin perform pg_advisory_xact_lock(16); return null; end'`
      await holder`create constraint trigger held after insert on feeds deferrable initially deferred
      for each row execute function hold()`
      await holder`select pg_advisory_lock(16)`
      t.teardown(async () => {
        await holder`drop trigger held on feeds`
        await holder`drop function hold`
        await Promise.all([holder.end(), writer.end()])
      })
      const opening = watch(t, app, user)
      await blocked(holder)
      // Its number is greater than that of the feed, which it does not see.
      await writer`begin`
      await writer`insert into tasks (user_id, id, title) values (${user}, gen_random_uuid(), 'late')`
      await writer`select record_change(user_id, 'tasks', id, 1, 'created') from tasks where user_id = ${user}`
      const { fire } = holdTimers(t, SETTLE_MS)
      await holder`select pg_advisory_unlock(16)`
      await waitsFor(t, user, opening, fire, () => writer`commit`)
    }
  )

  t.test(
    'begin when a statement is over that looked for the feed before it wrote (issue 16)',
    { skip: !SERVER && ONE_SESSION },
    async (t) => {
      const user = newUser()
      const [holder, writer] = [postgres(await databaseUrl(), { max: 1 }), postgres(await databaseUrl(), { max: 1 })]
      // It has begun, and sees what was there then, but has no number before it writes.
      await holder`create function hold() returns trigger language plpgsql
        as 'begin perform pg_advisory_xact_lock(16); return new; end'`
      await holder`create trigger held before insert on tasks for each row execute function hold()`
      t.teardown(async () => {
        await holder`drop trigger held on tasks`
        await holder`drop function hold`
        await Promise.all([holder.end(), writer.end()])
      })
      await holder`select pg_advisory_lock(16)`
      const written = writer`insert into tasks (user_id, id, title) values (${user}, gen_random_uuid(), 'late')
        returning case when exists(select from feeds where user_id = ${user}) then
          record_change(user_id, 'tasks', id, 1, 'created') end`.execute()
      await blocked(holder)
      const { fire } = holdTimers(t, SETTLE_MS)
      const opening = watch(t, app, user)
      await waitsFor(t, user, opening, fire, async () => {
        await holder`select pg_advisory_unlock(16)`
        await written
      })
    }
  )

  t.test('of clients that leave before they begin are forgotten, and silence no other', async (t) => {
    const user = newUser()
    const first = await watch(t, app, user)
    await first.next()
    first.close()
    await open(0)
    await act(user, '/unsettle')
    const { fire } = holdTimers(t, (ms) => ms === SETTLE_MS || ms === HEARTBEAT_MS)
    const { port } = app.server.address() as { port: number }
    const leaving = openSocket(port)
    leaving.write(requestText('GET', '/api/tasks/events', asUser(user)))
    let stream: Watch | undefined
    const meanwhile = async () => {
      leaving.destroy()
      await open(0)
      await act(user, '/settle')
      stream = await watch(t, app, user)
      await stream.next()
    }
    await fire(SETTLE_MS, meanwhile)
    const { id } = await create(app, user)
    t.same(await stream?.changes(1), [['created', id, 1]])
  })

  t.test('whose feed is deleted end within a heartbeat, and are told to load when they come again', async (t) => {
    const user = newUser()
    const { fire } = holdTimers(t, HEARTBEAT_MS)
    const stream = await watch(t, app, user)
    await stream.next()
    await act(user, '/remove')
    await create(app, user)
    // A stream that opens before the heartbeat gets later changes, and so does the first one.
    const other = await watch(t, app, user, { lastId: stream.lastId })
    t.match(await other.next(), { event: 'reload' })
    const { id } = await create(app, user)
    t.same(await other.changes(1), [['created', id, 1]])
    t.match(await stream.next(), { event: 'reload' })
    await fire()
    await fire()
    t.match(await stream.next(), { event: 'comment' })
    t.match(await stream.next(), { event: 'end', data: '{"reason":"reconnect"}' })
    t.equal(await stream.next(), undefined)
  })
})

t.test('streams of a server that closes end, those that come meanwhile too', async (t) => {
  // Closing cuts a connection without a request, so `preClose` waits until the late client has its answer.
  let answered: () => void = () => {}
  const app = await build(t, {}, (app) => {
    app.addHook('preClose', () => new Promise<void>((resolve) => (answered = resolve)))
  })
  const user = newUser()
  const stream = await watch(t, app, user)
  await stream.next()
  const { port } = app.server.address() as { port: number }
  const late = openSocket(port)
  await once(late, 'connect')
  const closed = app.close()
  late.write(requestText('GET', '/api/tasks/events', { ...asUser(user), Connection: 'close' }))
  t.match(await stream.next(), { event: 'end', data: '{"reason":"reconnect"}' })
  t.equal(await stream.next(), undefined)
  let answer = ''
  for await (const chunk of late) answer += chunk
  answered()
  t.match(answer, /event: end\nretry: \d+\ndata: \{"reason":"reconnect"\}/)
  await closed
})

t.test('without a database there is no stream', async (t) => {
  const app = await build(t, { DATABASE_URL: 'postgres://127.0.0.1:1/none' })
  const answer = await app.inject({ url: '/api/tasks/events', headers: asUser('alice') })
  t.equal(answer.statusCode, 503)
  t.equal(metric(app, 'streams'), 0)
})

t.test(
  'a connection that listens and is lost is made anew, and what it missed is told',
  { skip: !SERVER && ONE_SESSION },
  async (t) => {
    const app = await build(t)
    const user = newUser()
    const stream = await watch(t, app, user)
    await stream.next()
    const admin = postgres(await databaseUrl(), { max: 1 })
    t.teardown(() => admin.end())
    const lost = () => admin`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and query = 'listen "rowkeeper"'`
    for (let times = 0; times < 2; times++) {
      t.equal((await lost()).length, 1)
      const { id } = await create(app, user)
      t.same(await stream.changes(1), [['created', id, 1]])
    }
  }
)
