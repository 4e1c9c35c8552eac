import { once } from 'node:events'
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import autocannon from 'autocannon'
import type { Result } from './report.ts'
import type { Ask, Scenario } from './scenarios.ts'
import { cpuSeconds, memoryMb } from './service.ts'

/** The longest slice of the plots over time. */
const SLICE_MS = 500
const PERCENTS = [0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99, 99.995, 99.999]
const MAX_FAULTS = 5

// Whole microseconds, which is what a histogram takes: autocannon's own counts whole milliseconds.
const histogram = () => createHistogram({ lowest: 1, highest: 100_000_000, figures: 3 })
const percentile = (times: RecordableHistogram, percent: number) =>
  times.count === 0 ? 0 : (percent === 0 ? times.min : times.percentile(percent)) / 1000

const sum = (values: number[]) => values.reduce((total, value) => total + value, 0)

export interface Plan {
  url: string
  connections: number
  /** Until it is over nothing is measured, though every answer is checked. */
  warmUpSeconds: number
  seconds: number
  /** The processes to watch, which are on this machine. */
  pid?: number
  backends: () => Promise<number[]>
}

/** Processor seconds used so far by the service, by PostgreSQL, and by this process, which makes the load. */
function usage(pid: number | undefined, backends: number[]) {
  const { user, system } = process.cpuUsage()
  const postgres = backends.map(cpuSeconds).filter((used) => used !== undefined)
  return {
    service: pid === undefined ? undefined : cpuSeconds(pid),
    // The figure of a process that has ended is lost.
    postgres: postgres.length > 0 && postgres.length === backends.length ? sum(postgres) : undefined,
    generator: (user + system) / 1e6
  }
}

/** Puts `connections` to work on a scenario, each asking again when it was answered, and checks every answer. */
export async function measure(scenario: Scenario, plan: Plan): Promise<Result> {
  const all = histogram()
  const slices: (RecordableHistogram | undefined)[] = []
  const statuses: Record<string, number> = {}
  const faults = new Set<string>()
  let unexpected = 0
  const unexpectedly = (fault: string) => {
    unexpected++
    if (faults.size < MAX_FAULTS) faults.add(fault)
  }

  // There is at least one, which then fails.
  const most = Math.max(1, scenario.most?.() ?? Number.POSITIVE_INFINITY)
  const options: autocannon.Options = {
    url: plan.url,
    connections: Math.min(plan.connections, most),
    ...(most < Number.POSITIVE_INFINITY && { maxOverallRequests: most }),
    // The run is stopped long before this limit.
    duration: 86_400,
    sampleInt: 50,
    requests: [
      {
        // autocannon keeps a context for each connection, which has one request under way.
        setupRequest(request, context) {
          const { method, path, token, headers, body, fault } = scenario.next()
          Object.assign(context, { fault })
          const type = body === undefined ? undefined : { 'content-type': 'application/json' }
          return { ...request, method, path, body, headers: { authorization: `Bearer ${token}`, ...type, ...headers } }
        },
        onResponse(status, body, context) {
          statuses[status] = (statuses[status] ?? 0) + 1
          const fault = (context as Pick<Ask, 'fault'>).fault(status, body)
          if (fault !== undefined) unexpectedly(fault)
        }
      }
    ]
  }
  const load = autocannon(options, (error) => {
    if (error) throw error
  })
  const over = once(load, 'done')
  load.on('reqError', (error) => unexpectedly(String(error)))
  const sliceMs = Math.min(SLICE_MS, plan.seconds * 100)
  const untilDone = (seconds: number) => Promise.race([over, setTimeout(seconds * 1000, undefined, { ref: false })])

  await untilDone(plan.warmUpSeconds)
  const backends = await plan.backends()
  const before = usage(plan.pid, backends)
  const began = performance.now()
  let last = began
  const record = (_client: unknown, _status: number, _bytes: number, ms: number) => {
    last = performance.now()
    const time = Math.max(1, Math.round(ms * 1000))
    all.record(time)
    const at = Math.floor((last - began) / sliceMs)
    slices[at] ??= histogram()
    slices[at].record(time)
  }
  load.on('response', record)
  await untilDone(plan.seconds)
  load.off('response', record)
  const after = usage(plan.pid, backends)
  const memory = plan.pid === undefined ? null : (memoryMb(plan.pid) ?? null)
  // It may have run out of requests before, and then the time ended with the last of them.
  const seconds = (last - began) / 1000
  load.stop()
  await over
  const fault = scenario.end?.()
  if (fault !== undefined) unexpectedly(fault)
  if (Object.keys(statuses).length === 0) unexpectedly('nothing was answered')

  const used = (whose: keyof typeof after) => {
    const [from, to] = [before[whose], after[whose]]
    return from === undefined || to === undefined ? null : to - from
  }
  const each = (total: number | null) => (total === null || all.count === 0 ? null : (total * 1000) / all.count)
  const share = (total: number | null) => (total === null || seconds === 0 ? null : total / seconds)
  // An incomplete slice at the end is left out.
  const whole = Math.max(1, Math.round((seconds * 1000) / sliceMs))
  const length = Math.min(seconds, sliceMs / 1000)
  return {
    name: scenario.name,
    about: scenario.about,
    requests: all.count,
    seconds,
    rate: seconds === 0 ? 0 : all.count / seconds,
    latency: {
      p50: percentile(all, 50),
      p90: percentile(all, 90),
      p99: percentile(all, 99),
      max: percentile(all, 100)
    },
    cpu: { service: each(used('service')), postgres: each(used('postgres')) },
    busy: {
      service: share(used('service')),
      postgres: share(used('postgres')),
      generator: share(used('generator')) ?? 0
    },
    memory,
    // More nines than the requests can tell apart from the maximum are left out.
    percentiles: PERCENTS.filter((percent) => percent < 100 - 100 / all.count).map((percent) => ({
      percent,
      ms: percentile(all, percent)
    })),
    overTime: Array.from({ length: whole }, (_, i) => ({
      second: ((i + 0.5) * sliceMs) / 1000,
      rate: (slices[i]?.count ?? 0) / length,
      p99: slices[i] === undefined ? 0 : percentile(slices[i], 99)
    })),
    statuses,
    unexpected,
    faults: [...faults]
  }
}
