import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import pino from 'pino'
import t from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { Connection, QUEUE_CHECK_MS } from '../../../src/db/connection.ts'
import { classify } from '../../../src/db/errors.ts'
import { openDatabase } from '../../../src/db/open.ts'
import { ownedBy } from '../../../src/db/owned.ts'
import { Slot } from '../../../src/db/slot.ts'
import { watchStatements } from '../../contract/statements.ts'
import { newUser, testConfig } from '../../support/app.ts'
import { proxyTo, RLS } from '../../support/proxy.ts'
import { taskStore } from '../../support/tasks.ts'
import { holdTimers, stopClock } from '../../support/timers.ts'

const server = process.env.TEST_DATABASE_URL

const silent = pino({ level: 'silent' })

t.test('what waited for a connection in vain fails, and is not sent when there is one', async (t) => {
  const queueChecks = holdTimers(t, QUEUE_CHECK_MS)
  for (const rls of RLS) {
    const to = await proxyTo(t, rls === 'true' ? 'restricted' : 'owner')
    for (const begun of [true, false]) {
      const env = { DATABASE_URL: to.url, DATABASE_RLS: rls, DATABASE_POOL_MAX: '1' }
      const { prepare, transaction, close } = await openDatabase((await testConfig(env)).database, silent)
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
  for (const rls of RLS) {
    const to = await proxyTo(t, rls === 'true' ? 'restricted' : 'owner')
    const env = { DATABASE_URL: to.url, DATABASE_RLS: rls, DATABASE_POOL_MAX: '1' }
    const { prepare, close } = await openDatabase((await testConfig(env)).database, silent)
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

t.test('of several hosts the next is tried', async (t) => {
  const to = await proxyTo(t, 'owner')
  const { hostname: host, port } = new URL(to.url)
  const hosts = ['127.0.0.2', host]
  const slot = new Slot((attempt, delayMs, events) => {
    const address = { host: hosts[attempt % 2] as string, port: Number(port) }
    return new Connection({ ...events, url: to.url, delayMs, driver: { fetch_types: false }, address })
  })
  const send = (text: string) => slot.connection.send(text)
  await t.rejects(send('select 1'), { code: 'ECONNREFUSED' })
  t.same(await send("select '1'"), [['1']])
  const closed = once(slot, 'close')
  to.cut()
  await closed
  await t.rejects(send('select 2'), { code: 'ECONNREFUSED' }, 'in turn')
  t.same(await send("select '3'"), [['3']])
  await slot.end()
})

t.test('what waits for a new connection is sent in its order, and before what comes later', async (t) => {
  // Behind the wall a statement that leaves its transaction is answered as if nothing were there.
  if (server === undefined) return
  const to = await proxyTo(t, 'restricted')
  const env = { DATABASE_URL: to.url, DATABASE_RLS: 'true', DATABASE_POOL_MAX: '1' }
  const { prepare, close } = await openDatabase((await testConfig(env)).database, silent)
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
  for (const rls of RLS) {
    const to = await proxyTo(t, rls === 'true' ? 'restricted' : 'owner')
    const env = { DATABASE_URL: to.url, DATABASE_RLS: rls, DATABASE_POOL_MAX: '1' }
    const { prepare, transaction, close } = await openDatabase((await testConfig(env)).database, silent)
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
  const { prepare, close } = await openDatabase((await testConfig(env)).database, silent)
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

t.test('a connection that is old is replaced, and does what it was given', async (t) => {
  const to = await proxyTo(t, 'owner')
  const env = { DATABASE_URL: to.url, DATABASE_POOL_MAX: '1' }
  const { prepare, transaction, close } = await openDatabase((await testConfig(env)).database, silent)
  const store = taskStore((table) => ownedBy(prepare, table))
  const alice = newUser('alice') as Owner
  const advance = stopClock(t)
  const { id } = await store.create(alice, { title: 'own' })
  advance(30 * 60_000)
  t.match(await store.get(alice, id), { id })
  t.equal(to.connections(), 1, 'not before its time')

  const left = to.left()
  const done = await transaction(alice, async (inside) => {
    advance(30 * 60_000)
    return store.update(alice, id, { completed: true }, undefined, inside)
  })
  t.match(done, { id }, 'a transaction goes on')
  const next = store.get(alice, id)
  // The embedded engine has one session.
  await left
  t.match(await next, { id })
  t.match(await store.get(alice, id), { id })
  t.equal(to.connections(), 2, 'the end of the old one is none of the new one')
  await close()
})
