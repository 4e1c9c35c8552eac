// Attacks of every kind run in random order, several at once, for `--minutes N` (60). Twenty honest users beside them
// must notice nothing. `--quick` makes it half a minute. `--seed N` repeats an order. A line of JSON reports each
// minute.
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Honest, percentile } from './honest.ts'
import { Issuer } from './issuer.ts'
import { cluster, drill, expect, quick, service } from './kit.ts'
import { type Kind, kinds } from './mixed.ts'
import { Watch } from './watch.ts'

const { values } = parseArgs({
  options: { minutes: { type: 'string' }, seed: { type: 'string' }, quick: { type: 'boolean' } }
})
const minutes = Number(values.minutes ?? (quick ? 0.3 : 60))
const seed = Number(values.seed ?? Date.now() % 1_000_000)
const AT_ONCE = quick ? 4 : 2
const LONGEST_SECONDS = quick ? 4 : 15
const SEARCHERS = quick ? 1 : 3
// CI shares its machine and runs several attacks at once. Without the bounds it takes seconds.
const P95_MS = quick ? 500 : 50
const MOST_MEGABYTES = 400
/** The limits of production, which other drills turn off. */
const LIMITS = { RATE_LIMIT_MAX: '600', RATE_LIMIT_ANONYMOUS_MAX: '120' }

/** Numbers from 0 to 1 that a seed determines (mulberry32). */
function random(state: number): () => number {
  let a = state
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** All kinds in random order, then all again in another order, for ever. */
function* shuffled(all: Kind[], next: () => number): Generator<Kind> {
  for (;;) {
    const order = all.map((one) => ({ one, by: next() })).sort((a, b) => a.by - b.by)
    yield* order.map(({ one }) => one)
  }
}

/** The figures of the users and the process for a minute, as a line of JSON. */
function report(minute: number, honest: Honest, watch: Watch, attacks: Map<string, number>, from: number) {
  const samples = honest.since(from)
  const [p50, p95, p99, max] = [0.5, 0.95, 0.99, 1].map((share) => percentile(samples, share))
  const failures = honest.failures(samples)
  const { deaths, megabytes, mostMegabytes, statuses: readiness, wronglyRed, wronglyGreen } = watch
  const faults = honest.users.flatMap((user) => [...user.faults, ...(user.follower?.faults ?? [])])
  const total = (what: 'refused' | 'cut' | 'reloads') =>
    honest.users.reduce((sum, { follower }) => sum + (follower?.[what] ?? 0), 0)
  const line = {
    minute,
    requests: samples.length,
    failed: failures.length,
    failures: [...new Set(failures.map((one) => `${one.what} ${one.status}`))].slice(0, 5),
    excused: samples.filter(({ status }) => status < 200 || status > 299).length - failures.length,
    ...{ p50, p95, p99, max, deaths, megabytes, mostMegabytes, readiness },
    wronglyRed: wronglyRed.length,
    wronglyGreen: wronglyGreen.length,
    streams: { refused: total('refused'), cut: total('cut'), reloads: total('reloads') },
    retried: honest.users.reduce((sum, { retried }) => sum + retried, 0),
    faults: faults.slice(0, 5),
    attacks: Object.fromEntries(attacks)
  }
  console.log(JSON.stringify(line))
}

/** Attacks and users until the time is over. */
async function attacked(honest: Honest, watch: Watch, port: number, all: Kind[]) {
  const next = random(seed)
  const order = shuffled(all, next)
  const attacks = new Map<string, number>()
  const end = performance.now() + minutes * 60_000
  const attacker = async () => {
    while (performance.now() < end) {
      const { value } = order.next() as IteratorYieldResult<Kind>
      await sleep(1000 * next())
      attacks.set(value.what, (attacks.get(value.what) ?? 0) + 1)
      honest.attacked()
      await value.run(port, LONGEST_SECONDS)
    }
  }
  const attacking = Promise.all(Array.from({ length: AT_ONCE }, attacker))
  for (let minute = 1; performance.now() < end; minute++) {
    const from = performance.now()
    await sleep(Math.min(60_000, end - from))
    report(minute, honest, watch, attacks, from)
  }
  await attacking
}

async function run() {
  const database = await cluster()
  const issuer = await Issuer.start()
  const app = await service({ DATABASE_URL: database.url, ...LIMITS, ...issuer.env })
  const all = await kinds(issuer, database, SEARCHERS)
  const honest = new Honest(app.port, { perSecond: 40, tokenOf: issuer.token, streams: true })
  const watch = new Watch(app, honest)
  await sleep(2000)
  const begun = performance.now()
  await attacked(honest, watch, app.port, all)
  const { deaths, mostMegabytes, wronglyRed, wronglyGreen } = watch
  expect(deaths === 0, `the process lives; it ended ${deaths} times`)
  honest.expectUnharmed(`${minutes} minutes of attack`, begun, { p95: P95_MS })
  expect(mostMegabytes < MOST_MEGABYTES, `${mostMegabytes} MB at most`)
  expect(wronglyRed.length === 0, `readiness is red only when users are not served ${wronglyRed.slice(0, 5)}`)
  expect(wronglyGreen.length === 0, `readiness is not green when users are not served ${wronglyGreen.slice(0, 5)}`)
  await honest.stop()
  await watch.stop()
}

await drill(`${minutes} minutes of mixed attack, seed ${seed}`, run, minutes + 10)
