import { once } from 'node:events'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type NetConnectOpts, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import t, { type Test } from 'tap'
import { startEmbedded } from '../../src/db/embedded.ts'
import { databaseUrl } from './app.ts'
import { TEMPLATE } from './template.ts'

const server = process.env.TEST_DATABASE_URL

/** Row-level security needs the role of the operator. An embedded engine takes it from its own service. */
export const RLS = server === undefined ? ['false'] : ['false', 'true']

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
  const folder = mkdtempSync(join(tmpdir(), 'rowkeeper-proxy-'))
  cpSync(TEMPLATE, folder, { recursive: true })
  const engine = await startEmbedded(folder, pino({ level: 'silent' }))
  t.teardown(async () => {
    await engine.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return engine.socket
}

/** A proxy to a database, which can pause and cut connections. */
export async function proxyTo(t: Test, user: 'owner' | 'restricted') {
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
