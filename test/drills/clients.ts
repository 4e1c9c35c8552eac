// Clients that send slowly, never end, never read, leave, or say what is no HTTP: they are cut, and nobody else
// notices.
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../support/free-port.ts'
import { openSocket } from '../support/http.ts'
import { attack, connections, http } from './attackers.ts'
import { type Attack, abortions, DOCUMENTATION, raw, unread } from './attacks.ts'
import { Honest } from './honest.ts'
import { ask, cluster, drill, expect, quick, type Service, service, tokenOf } from './kit.ts'

const EACH = 100
const ABORTED = quick ? 1000 : 10_000
const RAW = quick ? 250 : 1000
const MOST_MEGABYTES = 400
/**
 * A request that is not whole after 4 s is refused. This bound and the next two leave time to a machine that is busy.
 */
const CUT_MS = 10_000
/** Connections on which nothing moves are closed after 5 s. */
const HELD_MS = 20_000
/** Before nothing moves any more, the buffers of the kernel must be full. */
const UNREAD_MS = 25_000

/** How long a connection lived that sends `first`, then `drop` every 200 ms. */
async function slow(port: number, first: string, drop: string) {
  const begun = performance.now()
  const socket = openSocket(port)
  let answer = ''
  socket.on('data', (chunk) => (answer += chunk)).on('error', () => {})
  socket.write(first)
  const dropping = setInterval(() => drop !== '' && socket.write(drop), 200)
  await Promise.race([once(socket, 'close'), sleep(15_000)])
  clearInterval(dropping)
  socket.destroy()
  return { ms: performance.now() - begun, status: answer.split(' ')[1] ?? 'none' }
}

async function slowSenders(port: number) {
  const head = 'POST /api/tasks HTTP/1.1\r\nHost: x\r\n'
  const kinds = [
    ['headers that never end', head, 'X-Drop: 1\r\n'],
    ['a body that never comes', `${head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n`, ''],
    [
      'a body that never ends',
      `${head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
      '1\r\n \r\n'
    ],
    ['nothing said', '', '']
  ] as const
  const cutting = kinds.map(async ([what, first, drop]) => {
    const all = await Promise.all(Array.from({ length: EACH }, () => slow(port, first, drop)))
    const longest = Math.round(Math.max(...all.map(({ ms }) => ms)))
    const statuses = [...new Set(all.map(({ status }) => status))]
    expect(longest < CUT_MS, `${what}: cut after ${longest} ms at most, with ${statuses}`)
  })
  await Promise.all(cutting)
}

let times = 0

/**
 * Does an attack beside honest users; the service must live through it, and have as many requests in flight as before.
 */
async function beside(app: Service, what: string, run: () => Promise<void>) {
  const honest = new Honest(app.port, { users: 10, perSecond: 20, name: `beside-${++times}` })
  await sleep(500)
  const pid = app.pid()
  let megabytes = 0
  const watching = setInterval(() => {
    megabytes = Math.max(megabytes, app.memory())
  }, 100)
  const begun = honest.attacked()
  await run()
  // Honest users have a second after the first one in any case.
  await sleep(Math.max(0, begun + 2000 - performance.now()))
  clearInterval(watching)
  expect(app.lives() && app.pid() === pid, `${what}: the process lives`)
  honest.expectUnharmed(what, begun)
  expect(megabytes < MOST_MEGABYTES, `${what}: ${megabytes} MB at most`)
  const [ready, got] = [await ask(app.port, 'GET', '/health/ready'), await ask(app.port, 'GET', '/api/tasks')]
  expect(ready.status === 200 && got.status === 200, `${what}: ready ${ready.status}, and a request ${got.status}`)
  if (ready.status !== 200 || got.status !== 200) {
    // What comes next is to be seen on its own.
    await app.stop('SIGKILL')
    await app.start()
  }
  await honest.stop()
}

let holders = 0

/** Attackers that never close: the service must have closed their connections after `most` milliseconds. */
async function held(port: number, what: string, job: Attack & { count: number }, most: number) {
  const source = `127.0.2.${++holders}`
  const attacker = await attack(port, { ...job, sources: [source] })
  const begun = performance.now()
  await sleep(500)
  let left = connections(port, source)
  while (left > 0 && performance.now() - begun < most) {
    await sleep(100)
    left = connections(port, source)
  }
  const ms = Math.round(performance.now() - begun)
  expect(left === 0 && ms < most, `${what}: of ${job.count} connections ${left} are open after ${ms} ms`)
  await attacker.stop()
}

const done = async (port: number, job: Attack) => void (await (await attack(port, job)).report)

/** What comes before a request that is none is answered before it. */
async function pipelined(port: number) {
  const body = JSON.stringify({ title: 'x' })
  const good = http('POST', '/api/tasks', { Authorization: `Bearer ${tokenOf('alice')}` }, body)
  const firsts = new Map<string, number>()
  for (let n = 0; n < 20; n++) {
    const socket = openSocket(port)
    let answer = ''
    socket.on('data', (chunk) => (answer += chunk)).on('error', () => {})
    socket.write(`${good}NONSENSE\r\n\r\n`)
    await Promise.race([once(socket, 'close'), sleep(5000)])
    socket.destroy()
    const first = answer.slice(9, 12)
    firsts.set(first, (firsts.get(first) ?? 0) + 1)
  }
  expect(firsts.get('201') === 20, `the answer before a malformed request: ${JSON.stringify([...firsts])}`)
}

type Runs = Record<string, () => Promise<void>>

/** What is no HTTP, each kind with connections that are reset and some that are never closed. */
function rawRuns(port: number, metricsPort: number): Runs {
  const kinds = raw(tokenOf('alice'), RAW)
  const reset = (requests: string[]): Attack => ({ how: 'abort', requests, count: RAW, perSecond: RAW })
  return {
    ...Object.fromEntries(
      kinds.flatMap(([what, job]) => [
        [`${what}, reset`, () => done(port, reset(job.requests))],
        [`${what}, never closed`, () => held(port, what, job, HELD_MS)]
      ])
    ),
    'the port of metrics': () => done(metricsPort, reset(kinds.flatMap(([, job]) => job.requests)))
  }
}

/** Clients that read slowly, and clients that read nothing. */
async function unreadRuns(port: number, database: Awaited<ReturnType<typeof cluster>>): Promise<Runs> {
  const unreads = (await unread(database)).map(({ what, job, during }) => [
    what,
    async () => void (await Promise.all([held(port, what, job(), UNREAD_MS), sleep(500).then(() => during(port))]))
  ])
  return {
    'documentation at 150 kB/s': async () => {
      const requests = [http('GET', DOCUMENTATION, { Connection: 'close' })]
      const attacker = await attack(port, { how: 'drip', requests, perSecond: 150_000, small: true })
      const { received, whole } = await attacker.report
      expect(whole === true, `a reader at 150 kB/s has the whole of it: ${received} bytes`)
    },
    ...Object.fromEntries(unreads)
  }
}

await drill('Clients that send slowly, read nothing, leave, or speak no HTTP', async () => {
  const database = await cluster()
  const metricsPort = await freePort()
  const app = await service({ DATABASE_URL: database.url, METRICS_PORT: String(metricsPort) })
  const { port } = app
  const left = abortions(tokenOf('alice'), ABORTED).map(([what, job]) => [what, () => done(port, job)])
  const stages: Record<string, Runs> = {
    'clients that send slowly': { 'slow senders': () => slowSenders(port), pipelined: () => pipelined(port) },
    'clients that speak no HTTP': rawRuns(port, metricsPort),
    'clients that leave': Object.fromEntries(left),
    'clients that read nothing': await unreadRuns(port, database)
  }
  for (const [stage, runs] of Object.entries(stages)) {
    // In short all of a stage at once.
    if (quick) await beside(app, stage, async () => void (await Promise.all(Object.values(runs).map((run) => run()))))
    else for (const [what, run] of Object.entries(runs)) await beside(app, what, run)
  }
})
