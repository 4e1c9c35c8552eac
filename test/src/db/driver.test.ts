import { once } from 'node:events'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type NetConnectOpts, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import pino from 'pino'
import t, { type Test } from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { connect as open } from '../../../src/db/connect.ts'
import { startEmbedded } from '../../../src/db/embedded.ts'
import { classify } from '../../../src/db/errors.ts'
import { ownedBy } from '../../../src/db/owned.ts'
import { taskStore } from '../../../src/tasks/store.ts'
import { databaseUrl, newUser, testConfig } from '../../helper.ts'
import { watchStatements } from '../../statements.ts'
import { TEMPLATE } from '../../template.ts'

const server = process.env.TEST_DATABASE_URL

// An embedded engine takes the role of the wall from its own service.
const WALLS = server === undefined ? ['false'] : ['false', 'true']

/** Where a database of the suite listens: the server, or an embedded one of this test's own. */
async function place(user: 'owner' | 'walled'): Promise<{ url: URL; to: NetConnectOpts }> {
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

/** A way to a database that can be held up and cut. */
async function way(t: Test, user: 'owner' | 'walled') {
  const { url, to } = await place(user)
  const sockets = new Set<Socket>()
  let open = true
  let arrived = new Set<() => void>()
  const through = (socket: Socket) => {
    const onward = connect(to)
    sockets.add(onward)
    socket.pipe(onward).pipe(socket)
    for (const end of [socket, onward]) end.on('error', () => {})
  }
  const held: Socket[] = []
  const proxy = createServer((socket) => {
    sockets.add(socket)
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
      for (const socket of held.splice(0)) through(socket)
    },
    cut() {
      for (const socket of sockets) socket.destroy()
      sockets.clear()
    },
    next: () => new Promise<void>((resolve) => arrived.add(resolve))
  }
}

t.test('what waited for a connection in vain fails, and is not sent when there is one', async (t) => {
  const { setTimeout } = globalThis
  const looks: (() => void)[] = []
  t.intercept(globalThis, 'setTimeout', {
    value: (run: () => void, ms: number) => (ms === 100 ? looks.push(run) : setTimeout(run, ms))
  })
  for (const rls of WALLS) {
    const to = await way(t, rls === 'true' ? 'walled' : 'owner')
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
      for (let i = 0; i < 11; i++) looks.shift()?.()
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
      while (looks.length > 0) looks.shift()?.()
      await close()
    }
  }
})

t.test('a read whose connection broke is done once more, a write never', async (t) => {
  for (const rls of WALLS) {
    const to = await way(t, rls === 'true' ? 'walled' : 'owner')
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
