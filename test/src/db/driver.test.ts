import { once } from 'node:events'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type NetConnectOpts, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import pino from 'pino'
import t, { type Test } from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { LISTEN_AGAIN_MS, LISTENER_CHECK_MS, connect as open } from '../../../src/db/connect.ts'
import { open as client, QUEUE_CHECK_MS, SILENCE_CHECK_MS } from '../../../src/db/driver.ts'
import { startEmbedded } from '../../../src/db/embedded.ts'
import { classify } from '../../../src/db/errors.ts'
import { ownedBy } from '../../../src/db/owned.ts'
import { databaseUrl, newUser, testConfig } from '../../support/app.ts'
import { watchStatements } from '../../support/statements.ts'
import { taskStore } from '../../support/tasks.ts'
import { TEMPLATE } from '../../support/template.ts'
import { holdTimers } from '../../support/timers.ts'

const server = process.env.TEST_DATABASE_URL

// An embedded engine takes the role of the wall from its own service.
const WALLS = server === undefined ? ['false'] : ['false', 'true']

/** Where a database of the suite listens: the server, or an embedded one of this test's own. */
async function place(user: 'owner' | 'restricted'): Promise<{ url: URL; to: NetConnectOpts }> {
  if (server !== undefined) {
    const url = new URL(await databaseUrl(user))
    return { url, to: { port: Number(url.port), host: url.hostname } }
  }
  embedded ??= startOwn()
  return { url: new URL('postgres://postgres@127.0.0.1/postgres'), to: { path: await embedded } }
}

let embedded: Promise<string> | undefined
async function startOwn() {
  const folder = mkdtempSync(join(tmpdir(), 'rowkeeper-driver-'))
  cpSync(TEMPLATE, folder, { recursive: true })
  const engine = await startEmbedded(folder, pino({ level: 'silent' }))
  t.teardown(async () => {
    await engine.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return engine.socket
}

/** A proxy to a database, which can pause and cut connections. */
async function proxyTo(t: Test, user: 'owner' | 'restricted') {
  const { url, to } = await place(user)
  const sockets = new Set<Socket>()
  let open = true
  let connections = 0
  let arrived = new Set<() => void>()
  let left = () => {}
  let reading = true
  const through = (socket: Socket) => {
    if (!reading) socket.pause()
    const onward = connect(to)
    onward.on('close', () => left())
    sockets.add(onward)
    socket.pipe(onward).pipe(socket)
    for (const end of [socket, onward]) end.on('error', () => {})
  }
  const held: Socket[] = []
  const proxy = createServer((socket) => {
    sockets.add(socket)
    connections++
    if (open) through(socket)
    else held.push(socket)
    for (const tell of arrived) tell()
    arrived = new Set()
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })
  return {
    url: Object.assign(new URL(url), { port: String((proxy.address() as AddressInfo).port) }).href,
    close: () => (open = false),
    open() {
      open = true
      for (const socket of held.splice(0)) if (!socket.destroyed) through(socket)
    },
    /** Whether what is sent is read. */
    read(goOn: boolean) {
      reading = goOn
      for (const socket of sockets) goOn ? socket.resume() : socket.pause()
    },
    /** Stops the connections of now without closing them, as when their host vanished. Later ones work. */
    vanish() {
      for (const socket of sockets) socket.pause()
    },
    cut() {
      for (const socket of sockets) socket.destroy()
      sockets.clear()
    },
    /** As `cut`, but by RST: the other end has an error, not an end. */
    reset() {
      for (const socket of sockets) socket.localPort === undefined ? socket.destroy() : socket.resetAndDestroy()
      sockets.clear()
    },
    connections: () => connections,
    /** Resolves when one has ended. */
    left: () => new Promise<void>((resolve) => (left = resolve)),
    next: () => new Promise<void>((resolve) => arrived.add(resolve))
  }
}

t.test('what waited for a connection in vain fails, and is not sent when there is one', async (t) => {
  const queueChecks = holdTimers(t, QUEUE_CHECK_MS)
  for (const rls of WALLS) {
    const to = await proxyTo(t, rls === 'true' ? 'restricted' : 'owner')
    for (const begun of [true, false]) {
      const env = { DATABASE_URL: to.url, DATABASE_RLS: rls, DATABASE_POOL_MAX: '1' }
      const { prepare, transaction, close } = await open((await testConfig(env)).database, pino({ level: 'silent' }))
      const store = taskStore((table) => ownedBy(prepare, table))
      const alice = newUser('alice') as Owner
      to.close()
      const sent: string[] = []
      const stop = watchStatements(({ text }) => sent.push(text))
      const arrived = to.next()
      const create = () => store.create(alice, { title: 'late' })
      const createTogether = () => transaction(alice, (inside) => store.create(alice, { title: 'late' }, inside))
      const order = begun ? [createTogether, create] : [create, createTogether]
      const asked = Promise.allSettled(order.map((one) => one()))
      await arrived
      let settled = false
      void asked.then(() => (settled = true))
      // The pool checks its queue, and the driver checks the statement that it was given.
      while (!settled) {
        queueChecks.run()
        await turn()
      }
      for (const result of await asked) {
        t.equal(result.status, 'rejected')
        t.equal(classify((result as PromiseRejectedResult).reason), 'unavailable')
      }
      to.open()
      t.equal((await store.list(alice)).json.toString(), '[]', 'the connection goes on')
      await turn()
      t.same(
        sent.filter((text) => text.startsWith('insert')),
        []
      )
      stop()
      while (queueChecks.count() > 0) queueChecks.run()
      await close()
    }
  }
})

t.test('a read whose connection broke is done once more, a write never', async (t) => {
  for (const rls of WALLS) {
    const to = await proxyTo(t, rls === 'true' ? 'restricted' : 'owner')
    const env = { DATABASE_URL: to.url, DATABASE_RLS: rls, DATABASE_POOL_MAX: '1' }
    const { prepare, close } = await open((await testConfig(env)).database, pino({ level: 'silent' }))
    const store = taskStore((table) => ownedBy(prepare, table))
    const alice = newUser('alice') as Owner
    const { id } = await store.create(alice, { title: 'own' })
    await store.get(alice, id)

    let cuts = 0
    const cutting = (what: string, most: number) =>
      watchStatements(({ text }) => {
        if (!text.startsWith(what) || cuts === most) return
        cuts++
        to.cut()
      })
    for (const [what, most, run] of [
      ['select "id"', 1, () => store.get(alice, id)],
      ['select "id"', 2, () => store.get(alice, id)],
      ['update', 1, () => store.update(alice, id, { completed: true })]
    ] as const) {
      cuts = 0
      const stop = cutting(what, most)
      const result = await run().catch(classify)
      stop()
      t.equal(cuts, most)
      if (what !== 'update' && most === 1) t.match(result, { id })
      else t.equal(result, 'unavailable', what)
    }
    await close()
  }
})

t.test('what belongs to a statement that was sent is sent, however late', async (t) => {
  const queueChecks = holdTimers(t, QUEUE_CHECK_MS)
  const to = await proxyTo(t, 'owner')
  const { send, pipeline, end } = client({ max: 1, fetch_types: false, max_lifetime: null }, to.url)
  await send('select 1')
  to.read(false)
  const size = 2 ** 24
  // More than the buffers on the way hold, after which the driver keeps back what comes.
  const sendAll = () => {
    const sendOne = pipeline()
    const large = sendOne('select length($1::text)::text', ['x'.repeat(size)])
    return [large, sendOne('select 2::text'), sendOne('select 3::text')]
  }
  const all = sendAll()
  const other = send('select 4').catch(classify)
  for (let i = 0; i < 13; i++) queueChecks.run()
  t.equal(await other, 'unavailable', 'what waited alone is not sent any more')
  to.read(true)
  t.same(await Promise.all(all), [[[String(size)]], [['2']], [['3']]])

  to.read(false)
  const lost = Promise.allSettled(sendAll())
  to.cut()
  for (const result of await lost) t.equal(classify((result as PromiseRejectedResult).reason), 'unavailable')
  for (let i = 0; i < 3; i++) queueChecks.run()
  t.equal(queueChecks.count(), 0, 'and then waits no more')
  await end()
})

t.test('a transaction is one, however much is under way, and whatever fails in it', async (t) => {
  const to = await proxyTo(t, 'owner')
  const { send, transaction, end } = client({ max: 1, fetch_types: false, max_lifetime: null }, to.url)
  const strangers: Promise<unknown[][]>[] = []
  const inside = async (one: typeof send) => {
    await one("set local application_name = 'inside'")
    strangers.push(send('show application_name'))
    await one('select 1')
    return one('show application_name')
  }
  // postgres.js holds back what is more than a hundred.
  for (const others of [0, 98, 99, 100, 250]) {
    const before = Array.from({ length: others }, () => send('show application_name'))
    const [one, another] = [transaction(inside), transaction(inside)]
    const after = Array.from({ length: others }, () => send('show application_name'))
    t.same([await one, await another], [[['inside']], [['inside']]], `${others} others`)
    const told = await Promise.all([...before, ...strangers, ...after])
    t.notOk(told.flat(2).includes('inside'), 'nothing of others is in it')
  }
  const careless = transaction(async (one) => {
    await one('select 1/0').catch(() => {})
    return 'done'
  })
  await t.rejects(careless, { code: '22012' }, 'what PostgreSQL would not commit is not acknowledged')
  await t.rejects(
    transaction(() => Promise.reject(new Error('ours'))),
    { message: 'ours' }
  )
  t.same(await send('select 5::text'), [['5']])
  await end()

  // A connection that did not begin with the empty statement would be given up after four seconds.
  const sent = new Set<string>()
  const stop = watchStatements(({ text }) => sent.add(text.trim()))
  const options = { max: 1, fetch_types: false, max_lifetime: null, connection: { application_name: 'rowkeeper' } }
  const command = client(options, to.url)
  await command.begin((sql) => sql.unsafe('select 6'))
  stop()
  t.same(
    [...sent],
    ['', 'select 1', 'begin', 'select 6', 'commit'],
    'that of a command comes to a connection that is ready'
  )
  await command.end()
})

t.test('a transaction that could not begin leaves its connection to others', async (t) => {
  const queueChecks = holdTimers(t, QUEUE_CHECK_MS)
  const to = await proxyTo(t, 'owner')
  const { send, transaction, end } = client({ max: 1, fetch_types: false, max_lifetime: null }, to.url)
  await send('select 1')
  to.read(false)
  const large = send('select length($1::text)::text', ['x'.repeat(2 ** 24)])
  // The first waits in the driver, the second for the first.
  const none = [transaction((one) => one('select 2')), transaction((one) => one('select 3'))].map((one) =>
    one.catch(classify)
  )
  for (let i = 0; i < 13; i++) queueChecks.run()
  t.same(await Promise.all(none), ['unavailable', 'unavailable'])
  to.read(true)
  t.same(await large, [[String(2 ** 24)]])
  t.same(await send('select 4::text'), [['4']])
  t.same(await transaction((one) => one('select 5::text')), [['5']])
  await end()
})

t.test(
  'a connection that owes an answer for too long is given up, by reset, and another takes over (issue 16)',
  async (t) => {
    const checks = holdTimers(t, SILENCE_CHECK_MS)
    const check = () => checks.run()
    const to = await proxyTo(t, 'owner')
    const { send, end } = client({ max: 1, fetch_types: false, max_lifetime: null }, to.url, 1000)
    await send('select 1')
    check()
    t.equal(checks.count(), 0, 'it owes nothing')
    for (let i = 0; i < 3; i++) {
      const answer = send('select 2::text')
      check()
      t.same(await answer, [['2']], 'an answer begins the time anew')
    }
    check()
    to.vanish()
    const unanswered = send('select 3').catch(classify)
    check()
    t.equal(to.connections(), 1)
    check()
    t.equal(await unanswered, 'unavailable')
    // The embedded engine has one session, which knows nothing of the reset either.
    to.cut()
    t.same(await send('select 4::text'), [['4']])
    t.equal(to.connections(), 2)
    t.same(checks.count(), 1, 'the new one is watched too')
    await end()
  }
)

t.test('without a limit nothing is watched', async (t) => {
  const checks = holdTimers(t, SILENCE_CHECK_MS)
  const to = await proxyTo(t, 'owner')
  const { send, end } = client({ max: 1, fetch_types: false, max_lifetime: null }, to.url)
  await send('select 1')
  t.equal(checks.count(), 0)
  await end()
})

t.test('of several hosts the next is tried, and a connection that is never ready is given up', async (t) => {
  const connectTimeoutSeconds = 3
  const connectTimeouts = holdTimers(t, 1000 * (connectTimeoutSeconds + 1))
  const to = await proxyTo(t, 'owner')
  const { host, port } = new URL(to.url)
  const both = to.url.replace(host, `127.0.0.2:${port},${host}`)
  const { send, end } = client(
    { max: 1, fetch_types: false, max_lifetime: null, connect_timeout: connectTimeoutSeconds },
    both
  )
  await t.rejects(send('select 1'), { code: 'ECONNREFUSED' })
  to.close()
  const arrived = to.next()
  const asked = send('select 1')
  asked.catch(() => {})
  await arrived
  connectTimeouts.run()
  await t.rejects(asked, { code: 'CONNECT_TIMEOUT' })
  to.open()
  await t.rejects(send('select 1'), { code: 'ECONNREFUSED' }, 'in turn')
  t.same(await send('select 1::text'), [['1']])
  await end()
})

t.test('what waits for a new connection is sent in its order, and before what comes later', async (t) => {
  // Behind the wall a statement that leaves its transaction is answered as if nothing were there.
  if (server === undefined) return
  const to = await proxyTo(t, 'restricted')
  const env = { DATABASE_URL: to.url, DATABASE_RLS: 'true', DATABASE_POOL_MAX: '1' }
  const { prepare, close } = await open((await testConfig(env)).database, pino({ level: 'silent' }))
  const store = taskStore((table) => ownedBy(prepare, table))
  const owners = ['alice', 'bob', 'carol'].map((name) => newUser(name) as Owner)
  const ids = new Map<Owner, string>()
  for (const owner of owners) ids.set(owner, (await store.create(owner, { title: owner })).id)
  const read = async (owner: Owner) => t.match(await store.get(owner, ids.get(owner) ?? ''), { id: ids.get(owner) })
  for (let round = 0; round < 5; round++) {
    to.cut()
    to.close()
    const arrived = to.next()
    const early = Array.from({ length: 10 }, () => owners.map((owner) => read(owner).then(() => read(owner)))).flat()
    await arrived
    to.open()
    await Promise.all(early)
  }
  await close()
})

t.test('after a reset, in whatever it comes, a connection is made and goes on (issue 7)', async (t) => {
  for (const rls of WALLS) {
    const to = await proxyTo(t, rls === 'true' ? 'restricted' : 'owner')
    const env = { DATABASE_URL: to.url, DATABASE_RLS: rls, DATABASE_POOL_MAX: '1' }
    const { prepare, transaction, close } = await open((await testConfig(env)).database, pino({ level: 'silent' }))
    const store = taskStore((table) => ownedBy(prepare, table))
    const alice = newUser('alice') as Owner
    const { id } = await store.create(alice, { title: 'own' })
    const breaking = (what: string, end: () => void = to.reset) => {
      const stop = watchStatements(({ text }) => {
        if (!text.startsWith(what)) return
        stop()
        end()
      })
    }
    const read = () => store.get(alice, id)

    breaking('select "id"')
    for (const result of await Promise.all([read(), read(), read()])) t.match(result, { id }, 'reads are done again')

    breaking('update')
    const write = store.update(alice, id, { completed: true })
    // It is told of the loss when the driver is, and sends at once what the driver would not answer.
    const next = write.then(read, read)
    t.equal(await write.catch(classify), 'unavailable')
    t.match(await next, { id }, 'what comes with the error of a write is answered')

    for (const what of ['select set_config', 'update']) {
      for (const end of [to.reset, to.cut]) {
        breaking(what, end)
        const change = transaction(alice, (inside) => store.update(alice, id, { completed: true }, undefined, inside))
        const error = await change.catch((error) => error)
        t.equal(classify(error), 'unavailable', what)
        t.ok('query' in error, 'known as an error of the database')
        t.match(await read(), { id }, 'a transaction that lost its connection ends nothing else')
      }
    }
    await close()
  }
})

t.test('a server that hangs up is not called again and again', async (t) => {
  const calls: number[] = []
  const server = createServer((socket) => {
    calls.push(performance.now())
    socket.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const env = { DATABASE_URL: `postgres://postgres@127.0.0.1:${port}/postgres`, DATABASE_POOL_MAX: '1' }
  const { prepare, close } = await open((await testConfig(env)).database, pino({ level: 'silent' }))
  const store = taskStore((table) => ownedBy(prepare, table))
  const alice = newUser('alice') as Owner
  const results = await Promise.allSettled([store.list(alice), store.create(alice, { title: 'x' })])
  for (const result of results) {
    const { reason: error } = result as PromiseRejectedResult
    t.match(error, { code: 'CONNECTION_CLOSED' })
    t.ok('query' in error, 'known as an error of the database')
  }
  t.equal(calls.length, 3, 'once for each, and once more for the one that reads')
  const pauses = calls.slice(1).map((at, n) => at - (calls[n] ?? 0))
  t.ok(Math.min(...pauses) > 190, 'and each time after a pause')
  // A connection that waits for its turn is not made once the client is closed.
  const asked = store.list(alice).catch(classify)
  await close()
  t.equal(await asked, 'unavailable')
  t.equal(await store.list(alice).catch(classify), 'unavailable', 'nor is one afterwards')
  t.equal(calls.length, 3)
})

t.test('a connection that is old is replaced when it has done what it was given', async (t) => {
  const queueChecks = holdTimers(t, QUEUE_CHECK_MS)
  const lifetimes = holdTimers(t, (ms) => ms >= 30 * 60_000)
  const to = await proxyTo(t, 'owner')
  const env = { DATABASE_URL: to.url, DATABASE_POOL_MAX: '1' }
  const { prepare, transaction, close } = await open((await testConfig(env)).database, pino({ level: 'silent' }))
  const store = taskStore((table) => ownedBy(prepare, table))
  const alice = newUser('alice') as Owner

  const { id } = await store.create(alice, { title: 'own' })
  lifetimes.run()
  t.match(await store.get(alice, id), { id })
  t.equal(to.connections(), 1, 'not while something may wait for it')
  let left = to.left()
  queueChecks.runAll()
  // The embedded engine has one session.
  await left
  t.match(await store.get(alice, id), { id })
  t.equal(to.connections(), 2)

  let go = () => {}
  const gone = new Promise<void>((resolve) => {
    go = resolve
  })
  let begin = () => {}
  const begun = new Promise<void>((resolve) => {
    begin = resolve
  })
  const change = transaction(alice, async (inside) => {
    await store.get(alice, id, inside)
    begin()
    await gone
    return store.update(alice, id, { completed: true }, undefined, inside)
  })
  await begun
  queueChecks.runAll()
  lifetimes.run()
  go()
  t.match(await change, { id }, 'a transaction goes on')
  left = to.left()
  queueChecks.runAll()
  if (server === undefined) await left
  t.match(await store.get(alice, id), { id })
  t.equal(to.connections(), 3)
  await left
  // The driver handles the end in a later turn.
  await turn()
  t.match(await store.get(alice, id), { id })
  t.equal(to.connections(), 3, 'the end of the old one is none of the new one')
  await close()
})

t.test(
  'who listens is told when it begins, and goes on after each loss, and after an attempt that failed',
  async (t) => {
    const again = holdTimers(t, LISTEN_AGAIN_MS)
    const to = await proxyTo(t, 'owner')
    const { listen, close } = await open(
      (await testConfig({ DATABASE_URL: to.url })).database,
      pino({ level: 'silent' })
    )
    let missed = () => {}
    const begins = () => new Promise<void>((resolve) => (missed = resolve))

    to.close()
    const arrived = to.next()
    const first = listen(
      () => {},
      () => missed()
    )
    await arrived
    to.cut()
    t.equal(await first.catch(classify), 'unavailable')
    to.open()
    for (const lose of [again.fire, to.cut, to.reset]) {
      const begun = begins()
      void lose()
      await begun
    }
    t.equal(to.connections(), 4)

    // Closing plans no further attempt.
    again.forget()
    await close()
    t.equal(again.count(), 0)
  }
)

t.test('who listens is asked whether it is there, and is replaced when it does not answer (issue 16)', async (t) => {
  const checks = holdTimers(t, SILENCE_CHECK_MS)
  const probes = holdTimers(t, LISTENER_CHECK_MS)
  const to = await proxyTo(t, 'owner')
  const { listen, close } = await open((await testConfig({ DATABASE_URL: to.url })).database, pino({ level: 'silent' }))
  t.teardown(close)
  let begins = () => {}
  const begun = () => new Promise<void>((resolve) => (begins = resolve))
  const first = begun()
  const listening = listen(
    () => {},
    () => begins()
  )
  probes.run()
  await Promise.all([first, listening])
  to.vanish()
  const again = begun()
  probes.run()
  // A listener may owe its answer for the longest statement and one second.
  for (let i = 0; i < 9; i++) checks.run()
  t.equal(to.connections(), 1)
  checks.run()
  to.cut()
  await again
  t.equal(to.connections(), 2)
})
