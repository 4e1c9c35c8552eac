// Ten times as many requests come at once as an instance accepts. It refuses the excess at once, and answers the rest
// as fast as before. Then single users send the most expensive requests within their limits, and nobody else notices.
import { setTimeout as sleep } from 'node:timers/promises'
import { attack } from './attackers.ts'
import { type Attack, insertTasks, refusedBodies, search } from './attacks.ts'
import { Honest } from './honest.ts'
import { type Answer, ask, cluster, drill, expect, quick, service, tokenOf, until } from './kit.ts'

const MAX = 100
const SECONDS = quick ? 3 : 10

const at = (sorted: number[], share: number) => Math.round(sorted[Math.floor(sorted.length * share)] ?? Number.NaN)

async function load(port: number, workers: number, path: string) {
  const answers: Answer[] = []
  // All connections exist before the load begins: Node accepts one with each turn of its event loop, and a turn is long
  // under overload.
  await Promise.all(Array.from({ length: workers }, () => ask(port, 'GET', '/health/live')))
  const end = performance.now() + SECONDS * 1000
  const one = async (n: number) => {
    while (performance.now() < end) answers.push(await ask(port, 'GET', path, `user-${n % 50}`))
  }
  await Promise.all(Array.from({ length: workers }, (_, n) => one(n)))
  const of = (status: number) => {
    const ms = answers.filter((one) => one.status === status).map((one) => one.ms)
    return ms.sort((a, b) => a - b)
  }
  const [good, refused] = [of(200), of(503)]
  console.log(
    `  ${workers} at once: ${Math.round(good.length / SECONDS)}/s accepted, p50 ${at(good, 0.5)} p99 ${at(good, 0.99)} ms;` +
      ` ${Math.round(refused.length / SECONDS)}/s refused, p50 ${at(refused, 0.5)} p99 ${at(refused, 0.99)} ms`
  )
  return { good, refused, others: answers.length - good.length - refused.length }
}

const SEARCHERS = ['searcher-1', 'searcher-2', 'searcher-3']
// CI shares its machine. Without the bounds it takes seconds.
const FAST_MS = quick ? 500 : 50
const MOST_MEGABYTES = 400

/**
 * Users who ask for much at once, within the default limits, for as long as they are answered but at most ten seconds,
 * in short five.
 */
async function burst(
  database: Awaited<ReturnType<typeof cluster>>,
  what: string,
  attacks: Attack[],
  most: { p50?: number; p95?: number }
) {
  const app = await service({ DATABASE_URL: database.url, RATE_LIMIT_MAX: '600' })
  const honest = new Honest(app.port, { name: what })
  await sleep(1000)
  let megabytes = 0
  const watching = setInterval(() => {
    megabytes = Math.max(megabytes, app.memory())
  }, 100)
  const begun = honest.attacked()
  const attackers = await Promise.all(attacks.map((job) => attack(app.port, job)))
  await Promise.race([Promise.all(attackers.map(({ report }) => report)), sleep(quick ? 5000 : 10_000)])
  await sleep(Math.max(0, begun + 4000 - performance.now()))
  clearInterval(watching)
  honest.expectUnharmed(what, begun, most)
  expect(megabytes < MOST_MEGABYTES, `${what}: ${megabytes} MB at most`)
  const reports = await Promise.all(attackers.map((one) => one.stop()))
  console.log(`  ${what}: they are answered ${JSON.stringify(reports.map(({ statuses }) => statuses))}`)
  await app.stop('SIGKILL')
  await app.start()
  await honest.stop()
  await app.stop('SIGKILL')
}

await drill(`10x overload: ${MAX * 10} at once where ${MAX} are taken`, async () => {
  const database = await cluster()
  const app = await service({ DATABASE_URL: database.url, REQUESTS_MAX: String(MAX) })
  await ask(app.port, 'POST', '/api/tasks', 'user-1', { title: 'x' })
  const usual = await load(app.port, MAX, '/api/tasks')
  const over = await load(app.port, MAX * 10, '/api/tasks')
  expect(usual.refused.length === 0 && usual.others === 0, 'within the limit nothing is refused')
  expect(over.others === 0, 'beyond it every answer is a 200 or a 503')
  expect(over.refused.length > 0, 'what is too much is refused')
  // The clients of this drill take most of the processor for themselves.
  expect(at(over.good, 0.99) < 2000, 'what is accepted is answered within 2 s (p99)')
  // Seconds of refusals have turned readiness red.
  const ready = async () => (await ask(app.port, 'GET', '/health/ready')).status === 200
  await until(() => 'the instance is ready again', ready)
  await app.stop('SIGKILL')

  for (const user of SEARCHERS) await insertTasks(database, user, 10_000)
  await database.query('vacuum analyze tasks')
  const searches = SEARCHERS.map((user) => search(tokenOf(user)))
  await burst(database, 'a user who searches', searches.slice(0, 1), { p95: FAST_MS })
  await burst(database, 'three users who search', searches, { p95: FAST_MS })
  await burst(database, 'bodies that are refused', [refusedBodies(tokenOf('refused'), 600, 1000)], {
    // Parsing one occupies the only thread for longer than an answer does.
    p50: FAST_MS
  })
})
