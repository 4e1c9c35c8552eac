// Faults of the database and of the network at random, for `--minutes N` (15) without row-level security and as long
// with it: backends are terminated, connections reset, paused and refused, and migrations change the type of a column
// and back. Users compare every answer with what they know.
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { afterwards, cluster, drill, expect, quick, service, tokenOf } from './kit.ts'
import { type Sample, User } from './user.ts'

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '15' }, quick: { type: 'boolean' } } })
const minutes = quick ? 0.3 : Number(values.minutes)
const USERS = 24

/** What an answer may be meanwhile. A 404 would be false, because users ask for what they have. */
const GOOD = new Set([200, 201, 503])

/** A proxy to a database, which fails in the ways of a network. */
async function network(url: string) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    const onward = connect({ host: new URL(url).hostname, port: Number(new URL(url).port) })
    socket.pipe(onward).pipe(socket)
    for (const [end, other] of [
      [socket, onward],
      [onward, socket]
    ] as const) {
      sockets.add(end)
      end
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(end)
          // Otherwise PostgreSQL would keep the transaction of a client that is gone, with its locks.
          other.destroy()
        })
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  afterwards(() => server.close())
  return {
    port,
    /** Resets some connections. */
    reset() {
      for (const socket of sockets) if (Math.random() < 0.5) socket.resetAndDestroy()
    },
    /** Passes nothing on for a while. */
    async pause() {
      const paused = [...sockets].filter(() => Math.random() < 0.7)
      for (const socket of paused) socket.pause()
      await sleep(1500 * Math.random())
      for (const socket of paused) socket.resume()
    },
    /** Ends all connections, and takes no new ones for a while. */
    async refuse() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await sleep(1500 * Math.random())
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
    }
  }
}

/** The role of an operator for row-level security (docs/row-level-security.md). */
const ROLE = `create role app login;
  grant select, insert, update, delete on all tables in schema public to app;
  grant usage on schema drizzle to app; grant select on all tables in schema drizzle to app`

async function inject(rls: boolean) {
  const database = await cluster()
  if (rls) await database.query(ROLE)
  const net = await network(database.url)
  const url = `postgres://${rls ? 'app' : 'postgres'}@127.0.0.1:${net.port}/postgres`
  const app = await service({ DATABASE_URL: url, DATABASE_RLS: String(rls) })
  const samples: Sample[] = []
  const users = Array.from({ length: USERS }, (_, n) => {
    const record = (sample: Sample) => void samples.push(sample)
    // A token of the drills lives for 25 minutes, and one that is known is used again.
    return new User(`${rls ? 'bound' : 'user'}-${n}`, app.port, { tokenOf, record, streams: false })
  })
  const end = performance.now() + minutes * 60_000
  const working = users.map(async (user) => {
    while (performance.now() < end) await user.step()
  })
  let type = 'text'
  const faults: Record<string, () => unknown> = {
    terminate: () =>
      database.query(`select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'rowkeeper' and random() < 0.5`),
    reset: net.reset,
    pause: net.pause,
    refuse: net.refuse,
    async migrate() {
      type = type === 'text' ? 'varchar(10000)' : 'text'
      await database.query(`alter table tasks alter description type ${type}`)
    }
  }
  const done = new Map<string, number>()
  while (performance.now() < end) {
    const names = Object.keys(faults)
    const name = names[Math.floor(Math.random() * names.length)] as string
    await faults[name]?.()
    done.set(name, (done.get(name) ?? 0) + 1)
    await sleep(700 * Math.random())
  }
  await Promise.all(working)
  await sleep(2000)
  const checked = await Promise.all(users.map((user) => user.check()))
  const title = `${rls ? 'with' : 'without'} row-level security`
  const statuses = new Map<number, number>()
  for (const { status } of samples) statuses.set(status, (statuses.get(status) ?? 0) + 1)
  console.log(`  ${title}: ${[...done].map(([name, times]) => `${name} ${times}`).join(', ')}`)
  const told = [...statuses].map(([status, times]) => `${status}: ${times}`).join(', ')
  expect(
    [...statuses.keys()].every((status) => GOOD.has(status)),
    `${samples.length} answers are good or 503: ${told}`
  )
  const slowest = Math.round(samples.reduce((most, { ms }) => Math.max(most, ms), 0))
  expect(slowest < 5500, `the slowest took ${slowest} ms`)
  expect(checked.every(Boolean), 'everybody is served at the end')
  const wrong = users.flatMap((user) => user.faults)
  expect(wrong.length === 0, `no write is lost, no row is wrong ${wrong.slice(0, 5).join('; ')}`)
  await app.stop('SIGTERM')
  await database.stop('SIGINT')
}

await drill(
  'Faults at random',
  async () => {
    for (const rls of [false, true]) await inject(rls)
  },
  2 * minutes + 5
)
