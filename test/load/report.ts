import { readFileSync } from 'node:fs'
import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

const OrNull = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

/** The result of a scenario. Times are milliseconds, and null is a figure that could not be measured. */
const Result = Type.Object({
  name: Type.String(),
  about: Type.String(),
  /** Answers within the measured time, and its seconds. */
  requests: Type.Integer(),
  seconds: Type.Number(),
  rate: Type.Number({ description: 'Requests per second' }),
  latency: Type.Object({ p50: Type.Number(), p90: Type.Number(), p99: Type.Number(), max: Type.Number() }),
  /** CPU seconds per 1,000 requests. */
  cpu: Type.Object({ service: OrNull(Type.Number()), postgres: OrNull(Type.Number()) }),
  /** The share of one core: 1 is a core that was busy all the time. */
  busy: Type.Object({ service: OrNull(Type.Number()), postgres: OrNull(Type.Number()), generator: Type.Number() }),
  /** Megabytes of the service at the end. */
  memory: OrNull(Type.Number()),
  /** The latency distribution: how many percent of the requests took at most so long. */
  percentiles: Type.Array(Type.Object({ percent: Type.Number(), ms: Type.Number() })),
  overTime: Type.Array(Type.Object({ second: Type.Number(), rate: Type.Number(), p99: Type.Number() })),
  /** How often each status came, before the measured time too, as everything below. */
  statuses: Type.Record(Type.String(), Type.Integer()),
  unexpected: Type.Integer({ description: 'Answers and failures that should not have been' }),
  faults: Type.Array(Type.String(), { description: 'Some of them' })
})
export type Result = Static<typeof Result>

export const Report = Type.Object({
  at: Type.String(),
  version: Type.String(),
  machine: Type.String(),
  node: Type.String(),
  database: Type.String(),
  settings: Type.Object({
    users: Type.Integer(),
    resource: Type.String(),
    items: Type.Integer(),
    connections: Type.Integer(),
    seconds: Type.Number(),
    url: Type.Optional(Type.String())
  }),
  /** For a service that was started for this run: milliseconds until it was ready, and megabytes before a request. */
  start: OrNull(Type.Object({ readyMs: Type.Number(), memory: OrNull(Type.Number()) })),
  notes: Type.Array(Type.String()),
  scenarios: Type.Array(Result)
})
export type Report = Static<typeof Report>

/** Reads the JSON of an earlier run. Throws a sentence when it is none. */
export function readReport(path: string): Report {
  let report: { settings?: Record<string, unknown> } | null
  try {
    report = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new Error(`--compare ${path}: ${(error as Error).message}`)
  }
  // Earlier versions loaded tasks only, and wrote how many.
  const settings = report?.settings
  if (settings?.tasks !== undefined) Object.assign(settings, { resource: 'tasks', items: settings.tasks })
  const fault = Value.Errors(Report, report).First()
  if (fault) throw new Error(`--compare ${path}: not the JSON of a load test (${fault.path || '/'}: ${fault.message})`)
  return report as unknown as Report
}

export const unexpectedIn = ({ scenarios }: Report) => scenarios.reduce((sum, { unexpected }) => sum + unexpected, 0)

/** The settings in which two runs differ, as sentences: their figures then say little about the service. */
export function differences(now: Report, earlier: Report): string[] {
  const facts = ({ database, machine, node, settings }: Report): Record<string, unknown> => ({
    machine,
    node,
    database,
    ...settings,
    url: settings.url ?? 'started for this'
  })
  const before = facts(earlier)
  return Object.entries(facts(now))
    .filter(([name, value]) => before[name] !== value)
    .map(([name, value]) => `${name}: ${value}, earlier ${before[name]}`)
}

/** A figure of the table: how it is written, and whether more of it is better. */
export interface Figure {
  name: string
  unit: string
  /** A ratio up to this, or down to its inverse, may be the noise of the machine; `NOISE` unless given. */
  noise?: number
  /** Left out where there is little room. */
  minor?: boolean
  moreIsBetter?: boolean
  /** Zero is as good as it should be, and no ratio says more. */
  count?: boolean
  of(result: Result): number | null
}

export const NOISE = 1.1

const FIGURES: Figure[] = [
  { name: 'requests/s', unit: '', moreIsBetter: true, of: ({ rate }) => rate },
  { name: 'p50', unit: 'ms', of: ({ latency }) => latency.p50 },
  { name: 'p90', unit: 'ms', minor: true, of: ({ latency }) => latency.p90 },
  { name: 'p99', unit: 'ms', noise: 1.4, of: ({ latency }) => latency.p99 },
  { name: 'max', unit: 'ms', minor: true, noise: Number.POSITIVE_INFINITY, of: ({ latency }) => latency.max },
  { name: 'service', unit: 'CPU s/1,000', of: ({ cpu }) => cpu.service },
  { name: 'PostgreSQL', unit: 'CPU s/1,000', of: ({ cpu }) => cpu.postgres },
  { name: 'memory', unit: 'MB', minor: true, of: ({ memory }) => memory },
  { name: 'unexpected', unit: '', count: true, of: ({ unexpected }) => unexpected }
]

/** The figures that were measured. */
export const figuresOf = ({ scenarios }: Report) =>
  FIGURES.filter(({ of }) => scenarios.some((result) => of(result) !== null))

/** A figure with three digits that mean something, or all of its whole ones. */
export function written(value: number | null, whole = false): string {
  if (value === null) return '–'
  const digits = whole || value === 0 || value >= 100 ? 0 : Math.min(3, 2 - Math.floor(Math.log10(value)))
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** How many times the earlier figure this one is; undefined when one of them is missing or zero. */
export function ratio({ of, count }: Figure, now: Result, earlier: Result | undefined): number | undefined {
  const [value, before] = [of(now), earlier === undefined ? null : of(earlier)]
  return count || !value || !before ? undefined : value / before
}

export const earlierOf = (earlier: Report | undefined, name: string) =>
  earlier?.scenarios.find((scenario) => scenario.name === name)

/** The table for the terminal, with a line of ratios under each scenario when there is an earlier run. */
export function table(report: Report, earlier?: Report): string {
  const figures = figuresOf(report)
  const rows: string[][] = [
    ['', ...figures.map(({ unit }) => unit)],
    ['', ...figures.map(({ name }) => name)]
  ]
  for (const result of report.scenarios) {
    rows.push([result.name, ...figures.map(({ of, count }) => written(of(result), count))])
    const before = earlierOf(earlier, result.name)
    if (before === undefined) continue
    const ratios = figures.map((figure) => ratio(figure, result, before))
    rows.push(['', ...ratios.map((times) => (times === undefined ? '' : `${times.toFixed(2)}x`))])
  }
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  return rows
    .map((row) =>
      row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ')
    )
    .join('\n')
}
