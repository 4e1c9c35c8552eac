/**
 * `npm run load`: fills the built service, puts it under load, checks every answer, and writes what it saw to
 * `load-report.html` and `load-report.json`. docs/performance.md says how to use it and what the figures mean.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { developmentToken } from '../../src/auth/development-token.ts'
import { command } from '../../src/commands/command.ts'
import { loadConfig } from '../../src/config/config.ts'
import { version } from '../../src/version.ts'
import { measure } from './measure.ts'
import { page } from './page.ts'
import { differences, type Report, type Result, readReport, table, unexpectedIn } from './report.ts'
import { type LoadResource, readResource } from './resource.ts'
import { budgetOf, limited, type Scenario, scenariosFor } from './scenarios.ts'
import { memoryMb, migrate, type Server, type Service, startService, watchServer } from './service.ts'
import { type LoadUser, populate } from './users.ts'

const ABOUT = `Fills the built service, puts it under load, checks every answer, and writes load-report.html and
load-report.json.

  --resource NAME   the resource: /api/NAME, with bodies that fit the declaration in routes/api/NAME (the first)
  --users N         users to fill the service with (1000, or 20 with --quick)
  --items N         items of each (50)
  --connections N   requests under way at once (32)
  --duration N      seconds that each scenario is measured for (10, or half of one with --quick)
  --quick           a smoke test within 30 s; its figures say little
  --compare FILE    the JSON of an earlier run, to put beside this one
  --url URL         a service that runs already; tokens are signed with BETTER_AUTH_SECRET, as rowkeeper token does

Without --url it starts the built service, on DATABASE_URL or else on the embedded engine in a folder of its own.`

/** Requests of the one user who is limited. */
const BUDGET = 100

const OPTIONS = {
  resource: 'string',
  users: 'string',
  items: 'string',
  connections: 'string',
  duration: 'string',
  quick: 'boolean',
  compare: 'string',
  url: 'string'
} as const

type Given = { [Name in keyof typeof OPTIONS]?: (typeof OPTIONS)[Name] extends 'string' ? string : boolean }

function readOptions(values: Given) {
  const whole = (name: 'users' | 'items' | 'connections' | 'duration', initial: number, min: number, max: number) => {
    const value = values[name] === undefined ? initial : Number(values[name])
    if (Number.isInteger(value) && value >= min && value <= max) return value
    throw new Error(`--${name} is "${values[name]}": give a whole number from ${min} to ${max}.`)
  }
  const { quick = false, resource, compare, url } = values
  if (url !== undefined && !(URL.canParse(url) && /^https?:$/.test(new URL(url).protocol))) {
    throw new Error(`--url is "${url}": give the URL of a service, such as http://127.0.0.1:3000.`)
  }
  return {
    resource,
    // A forged token takes two users, and half of a user's items stay as they are.
    users: whole('users', quick ? 20 : 1000, 2, 100_000),
    items: whole('items', 50, 2, 10_000),
    connections: whole('connections', 32, 1, 10_000),
    seconds: quick && values.duration === undefined ? 0.5 : whole('duration', 10, 1, 3600),
    warmUpSeconds: quick ? 0.1 : 1,
    compare,
    url
  }
}

type Options = ReturnType<typeof readOptions>

/** What is put under load. */
interface Target {
  url: string
  /** The process, if the service was started for this run. */
  pid?: number
  server?: Server
  database: string
  start: Report['start']
  tokenOf(sub: string): Promise<string>
  /** The same with a limit that can be reached, if it has none such. */
  limit(): Promise<Pick<Target, 'url' | 'pid'>>
  close(): Promise<void>
}

async function running(url: string): Promise<Target> {
  const config = loadConfig()
  const tokenOf = (sub: string) => developmentToken(config, sub)
  const given = { url: new URL(url).origin }
  return {
    ...given,
    database: 'a database of its own',
    start: null,
    tokenOf,
    limit: async () => given,
    close: async () => {}
  }
}

async function started(): Promise<Target> {
  const folder = mkdtempSync(join(tmpdir(), 'rowkeeper-load-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const databaseUrl = process.env.DATABASE_URL || `pglite://${folder}/pg`
  const embedded = databaseUrl.startsWith('pglite:')
  const env = {
    ...process.env,
    NODE_ENV: 'production',
    LOG_LEVEL: process.env.LOG_LEVEL ?? 'warn',
    DATABASE_URL: databaseUrl,
    ALGORITHM: 'HS256',
    BETTER_AUTH_SECRET: randomBytes(32).toString('base64'),
    ACCESS_TOKEN_EXPIRE_MINUTES: '1440',
    SHUTDOWN_DELAY_MS: '0',
    // The limit counts as in production, and is never reached.
    RATE_LIMIT_MAX: '1000000000',
    RATE_LIMIT_ANONYMOUS_MAX: '1000000000'
  }
  let server: Server | undefined
  let service: Service | undefined
  const close = async () => {
    await service?.stop()
    await server?.close()
  }
  try {
    // The configuration of the service, outside production, which refuses to make tokens.
    const config = loadConfig({ ...env, NODE_ENV: 'test' })
    // With row-level security the service's role may not do this. The embedded engine does it by itself.
    if (!embedded && !config.database.rls) await migrate(env)
    server = embedded ? undefined : await watchServer(databaseUrl)
    service = await startService(env)
    const { url, pid, readyMs } = service
    return {
      url,
      pid,
      ...(server && { server }),
      database: server === undefined ? 'the embedded engine' : `PostgreSQL ${server.version}`,
      start: { readyMs, memory: memoryMb(pid) ?? null },
      tokenOf: (sub) => developmentToken(config, sub),
      async limit() {
        await service?.stop()
        service = await startService({ ...env, RATE_LIMIT_MAX: String(BUDGET), RATE_LIMIT_WINDOW: '1 day' })
        return service
      },
      close
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** The answer to a request of one user. */
const ask = (url: string, token: string) => fetch(url, { headers: { authorization: `Bearer ${token}` } })

/** Reports progress on standard error: a bar on a terminal, and otherwise only the end. */
function progress(what: string): (done: number) => void {
  const { stderr } = process
  return (done) => {
    const filled = Math.round(done * 30)
    const bar = `\r${what} [${'#'.repeat(filled).padEnd(30, '.')}] ${Math.floor(done * 100)} %`
    if (stderr.isTTY) stderr.write(done < 1 ? bar : `${bar}\n`)
    else if (done === 1) stderr.write(`${what}\n`)
  }
}

async function test(
  target: Target,
  resource: LoadResource,
  { users, items, connections, seconds, warmUpSeconds, url }: Options
): Promise<Report> {
  const { path, words, tableName } = resource
  const filling = progress(`Filling ${users} users with ${items} ${words.plural} each`)
  const filled: LoadUser[] = await populate(target.url, resource, { users, items }, target.tokenOf, filling)
  await target.server?.tidy(tableName)
  const newcomer = await target.tokenOf(`load-newcomer-${randomUUID()}`)
  // After the bad signatures a service whose limits are not ours would take a token that it does not know for another
  // of them.
  await ask(target.url + path, newcomer)
  const scenarios: Result[] = []
  const notes: string[] = []
  const backends = async () => (await target.server?.backends()) ?? []
  const go = async (scenario: Scenario, { url, pid }: Pick<Target, 'url' | 'pid'>) => {
    process.stderr.write(`${scenario.name} … `)
    const watched = pid === undefined ? undefined : { pid }
    const result = await measure(scenario, { url, ...watched, backends, connections, seconds, warmUpSeconds })
    process.stderr.write(`${Math.round(result.rate)} requests/s\n`)
    scenarios.push(result)
  }
  for (const scenario of scenariosFor(resource, filled, url !== undefined)) await go(scenario, target)
  const narrow = await target.limit()
  const budget = budgetOf((await ask(narrow.url + path, newcomer)).headers)
  if (budget !== undefined) await go(limited(path, newcomer, budget), narrow)
  else notes.push('No 429: the service announces no limit of users (RateLimit-Policy).')

  if (target.database === 'the embedded engine') {
    notes.push('The embedded engine runs inside the service: what it costs is in the figures of the service.')
  }
  const busy = scenarios.filter((result) => result.busy.generator > 0.9).map(({ name }) => name)
  if (busy.length > 0) {
    notes.push(
      `The load generator was at its limit, so that requests/s is the least the service can do: ${busy.join(', ')}.`
    )
  }
  const [cpu] = cpus()
  return {
    at: new Date().toISOString(),
    version,
    machine: `${cpu?.model.trim() || process.arch}, ${cpus().length} cores`,
    node: process.version,
    database: target.database,
    settings: { users, resource: words.plural, items, connections, seconds, ...(url !== undefined && { url }) },
    start: target.start,
    notes,
    scenarios
  }
}

async function load(given: Given): Promise<void> {
  const options = readOptions(given)
  // The started services end with this process (service.ts), however it ends.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  const resource = await readResource(options.resource)
  const earlier = options.compare === undefined ? undefined : readReport(options.compare)
  const target = options.url === undefined ? await started() : await running(options.url)
  try {
    const report = await test(target, resource, options)
    writeFileSync('load-report.json', `${JSON.stringify(report, null, 2)}\n`)
    writeFileSync('load-report.html', page(report, earlier))
    const { readyMs, memory } = report.start ?? {}
    const lines = [
      '',
      `On ${report.database}, ${report.machine}, Node ${report.node}.`,
      ...(readyMs === undefined
        ? []
        : [`Ready after ${Math.round(readyMs)} ms, ${Math.round(memory ?? 0)} MB at rest.`]),
      '',
      table(report, earlier),
      '',
      ...report.notes,
      ...(earlier === undefined
        ? []
        : differences(report, earlier).map((fact) => `Not the same in both runs: ${fact}`)),
      ...report.scenarios.flatMap(({ name, faults }) => faults.map((fault) => `${name}: ${fault}`)),
      '',
      'Written to load-report.html and load-report.json.'
    ]
    console.log(lines.join('\n'))
    const unexpected = unexpectedIn(report)
    if (unexpected > 0) throw new Error(`${unexpected} answers were not as expected.`)
  } finally {
    await target.close()
  }
}

/** `rowkeeper load`, and \`npm run load\` here. */
export default command({
  synopsis: '[--quick] [--resource NAME] [OPTION…]',
  about: ABOUT,
  options: OPTIONS,
  run: load
})
