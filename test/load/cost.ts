import autocannon from 'autocannon'
import type { Test } from 'tap'
import type { Server } from './service.ts'
import { cpuSeconds } from './service.ts'

const ROUNDS = 5
const SECONDS = 4

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

/** A request as autocannon takes it. */
type Request = Pick<autocannon.Request, 'method' | 'path' | 'headers' | 'body'>

/** One of the ways that are compared: requests to a service, whose processor time is measured. */
export interface Way {
  url: string
  pid: number
  /** How many requests are in flight at once. */
  connections: number
  next(): Request
}

/** Processor milliseconds for 1,000 requests, of the service and of PostgreSQL. */
type Cost = [service: number, postgres: number]

async function costOf(t: Test, { url, pid, connections, next }: Way, server: Server): Promise<Cost> {
  const backends = await server.backends()
  const used = (pids: number[]) => pids.reduce((sum, one) => sum + (cpuSeconds(one) ?? Number.NaN), 0) * 1000
  const before = [used([pid]), used(backends)] as const
  const { '2xx': done, non2xx } = await autocannon({
    url,
    connections,
    duration: SECONDS,
    requests: [{ setupRequest: (request) => ({ ...request, ...next() }) }]
  })
  t.equal(non2xx, 0)
  return [((used([pid]) - before[0]) / done) * 1000, ((used(backends) - before[1]) / done) * 1000]
}

const total = ([service, postgres]: Cost) => service + postgres
const shown = (costs: Cost[]) =>
  `${median(costs.map(([service]) => service)).toFixed(0)} + ${median(costs.map(([, postgres]) => postgres)).toFixed(0)}`

/**
 * Compares what a way costs with another. Both run in turn, since other processes on the machine change the figures.
 * Prints the medians of the rounds, and the median of their ratios.
 */
export async function compare(t: Test, what: string, without: Way, extra: string, way: Way, server: Server) {
  const rounds: { plain: Cost; other: Cost }[] = []
  while (rounds.length < ROUNDS) {
    rounds.push({ plain: await costOf(t, without, server), other: await costOf(t, way, server) })
  }
  const [plain, other] = [rounds.map((round) => round.plain), rounds.map((round) => round.other)]
  const ratio = median(rounds.map((round) => total(round.other) / total(round.plain)))
  console.log(`${what}: ${shown(plain)} ms without, ${shown(other)} ms with ${extra}: ${ratio.toFixed(2)}x`)
}
