import { type ChildProcess, execFileSync, type StdioOptions, spawn } from 'node:child_process'
import { createHmac, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chownSync, closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { Agent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { freePort } from '../support/free-port.ts'
import { exchange } from '../support/http.ts'

/** Whether the drills are to be short: `--quick`, as CI runs them. */
export const quick = process.argv.includes('--quick')

const ended: (() => unknown)[] = []
/** Does `clean` when the drill is over. */
export const afterwards = (clean: () => unknown) => void ended.unshift(clean)

const faults: string[] = []
/** Says what was found, and counts against the verdict what is not so. */
export function expect(holds: boolean, what: string): void {
  if (!holds) faults.push(what)
  console.log(`  ${holds ? 'ok    ' : 'NOT OK'} ${what}`)
}

/** Waits until `holds` does. Throws what `state` says after a minute: a drill that waits for ever has no verdict. */
export async function until(state: () => string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 60_000
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within a minute: ${state()}`)
    await sleep(20)
  }
}

/** Runs a drill, cleans up and exits with its verdict; one that takes longer than `minutes` has failed. */
export async function drill(title: string, run: () => Promise<void>, minutes = quick ? 5 : 20): Promise<never> {
  console.log(title)
  const late = sleep(minutes * 60_000).then(() => Promise.reject(new Error(`not within ${minutes} minutes`)))
  try {
    await Promise.race([run(), late])
  } catch (error) {
    expect(false, `it ran to its end: ${error instanceof Error ? error.stack : error}`)
  }
  for (const clean of ended) await clean()
  console.log(faults.length === 0 ? 'PASSED' : `FAILED: ${faults.length}`)
  process.exit(faults.length === 0 ? 0 : 1)
}

export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'rowkeeper-drill-'))
  afterwards(() => rmSync(path, { recursive: true, force: true, maxRetries: 3 }))
  return path
}

const hasEnded = (child: ChildProcess | undefined) => child?.exitCode !== null || child.signalCode !== null

const stopped = async (child: ChildProcess, signal: NodeJS.Signals) => {
  if (!hasEnded(child)) {
    const exit = once(child, 'exit')
    child.kill(signal)
    await exit
  }
  return child.exitCode
}

/** A PostgreSQL cluster of the drill's own, with the tables. */
export async function cluster(settings: string[] = []) {
  const versions = '/usr/lib/postgresql'
  const bin = join(versions, readdirSync(versions).sort((a, b) => Number(b) - Number(a))[0] ?? '', 'bin')
  const directory = folder()
  const port = await freePort()
  // PostgreSQL refuses to run as root.
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres']))
  const as = process.getuid?.() === 0 ? { uid: id('-u'), gid: id('-g') } : {}
  if (as.uid !== undefined) chownSync(directory, as.uid, as.gid)
  const data = join(directory, 'data')
  execFileSync(join(bin, 'initdb'), ['-D', data, '-A', 'trust', '-U', 'postgres', '--locale=C.UTF-8', '-N'], {
    ...as,
    cwd: directory,
    stdio: 'ignore'
  })
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const options = ['listen_addresses=127.0.0.1', `unix_socket_directories=${directory}`, ...settings]
  let server: ChildProcess | undefined
  const it = {
    url,
    /** Resolves when it answers. */
    async start() {
      const args = ['-D', data, '-p', String(port), ...options.flatMap((option) => ['-c', option])]
      const log = openSync(join(directory, 'log'), 'a')
      const stdio: StdioOptions = ['ignore', log, log]
      const answers = async () => {
        // It refuses to start while a process of the one that was killed still works on its statement.
        if (hasEnded(server)) server = spawn(join(bin, 'postgres'), args, { ...as, cwd: directory, stdio })
        const client = postgres(url, { max: 1, connect_timeout: 1, onnotice: () => {} })
        try {
          await client`select 1`
          return true
        } catch {
          return false
        } finally {
          await client.end({ timeout: 0 })
        }
      }
      await until(() => `PostgreSQL answers\n${readFileSync(join(directory, 'log'), 'utf8').slice(-1000)}`, answers)
      closeSync(log)
    },
    /** SIGKILL: a crash. SIGINT: a fast shutdown. */
    stop: async (signal: 'SIGKILL' | 'SIGINT') => (server === undefined ? null : stopped(server, signal)),
    /** Pauses it or lets it go on, with all its processes. */
    signal(name: 'STOP' | 'CONT') {
      const send = (pid: number) => {
        try {
          process.kill(pid, `SIG${name}`)
        } catch (error) {
          // One that ended by itself since it was listed, as a worker of autovacuum does.
          if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
        }
      }
      const pid = Number(server?.pid)
      // The server first: once it is paused it starts no more.
      send(pid)
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')
      for (const child of children) if (child !== '') send(Number(child))
    },
    query: async <T extends object>(text: string) => {
      const client = postgres(url, { max: 1, onnotice: () => {} })
      const rows = await client.unsafe<T[]>(text)
      await client.end()
      return rows
    }
  }
  afterwards(() => it.stop('SIGKILL'))
  await it.start()
  execFileSync(process.execPath, [fileURLToPath(new URL('../../src/commands/main.js', import.meta.url)), 'migrate'], {
    env: { ...process.env, DATABASE_URL: url },
    stdio: 'ignore'
  })
  return it
}

/** The service as production starts it: this build, or another one in a working directory of its own. */
export async function service(
  env: Record<string, string>,
  file = fileURLToPath(new URL('../../src/server.js', import.meta.url)),
  cwd?: string
) {
  const port = env.PORT ?? String(await freePort())
  let child: ChildProcess | undefined
  const it = {
    port: Number(port),
    pid: () => child?.pid,
    lives: () => !hasEnded(child),
    /** Its resident memory in megabytes; 0 when it has ended. */
    memory() {
      if (hasEnded(child)) return 0
      const status = readFileSync(`/proc/${child?.pid}/status`, 'utf8')
      return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024)
    },
    /** Resolves when it is ready. */
    async start() {
      child = spawn(process.execPath, [file], {
        cwd,
        env: {
          ...process.env,
          NODE_ENV: 'production',
          LOG_LEVEL: 'fatal',
          BETTER_AUTH_SECRET: SECRET,
          RATE_LIMIT_MAX: 'off',
          RATE_LIMIT_ANONYMOUS_MAX: 'off',
          ...env,
          PORT: port
        },
        stdio: ['ignore', 'ignore', 'inherit']
      })
      await until(
        () => 'the service is ready',
        async () => {
          if (hasEnded(child)) throw new Error(`the service ended with ${child?.exitCode}`)
          return (await ask(it.port, 'GET', '/health/ready')).status === 200
        }
      )
    },
    stop: async (signal: 'SIGKILL' | 'SIGTERM') => (child === undefined ? null : stopped(child, signal))
  }
  afterwards(() => it.stop('SIGKILL'))
  await it.start()
  return it
}

export type Service = Awaited<ReturnType<typeof service>>

const SECRET = 'the secret of the drills, which is long enough'
/** Three times as long as any request may take. */
const SILENT_MS = 15_000
/** It keeps all of its connections: by default it would close those beyond 256 whenever they have nothing to do. */
const agent = new Agent({ keepAlive: true, maxSockets: 5000, maxFreeSockets: 5000 })

/** What a request was answered: status 0 when it was not. */
export interface Answer {
  status: number
  ms: number
  body: string
  retryAfter: string | undefined
  link: string | undefined
}

/**
 * @param user whom the drills' secret signs a token for, or a token of another issuer
 * @param key the Idempotency-Key, which makes a create one of a transaction
 */
export async function ask(
  port: number,
  method: string,
  path: string,
  user: string | { token: string } = 'alice',
  json?: object,
  key?: string
): Promise<Answer> {
  const begun = performance.now()
  const body = json === undefined ? undefined : JSON.stringify(json)
  const headers = {
    authorization: `Bearer ${typeof user === 'string' ? tokenOf(user) : user.token}`,
    ...(key === undefined ? {} : { 'idempotency-key': key }),
    ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  }
  const answer = await exchange({ port, method, path, headers, agent, timeout: SILENT_MS }, body)
  return {
    status: answer.status,
    ms: performance.now() - begun,
    body: answer.body,
    retryAfter: answer.headers['retry-after'],
    link: answer.headers.link as string | undefined
  }
}

const tokens = new Map<string, string>()
export function tokenOf(user: string): string {
  const known = tokens.get(user)
  if (known !== undefined) return known
  const iat = Math.floor(Date.now() / 1000)
  const parts = [
    { alg: 'HS256', typ: 'JWT' },
    { sub: user, iat, exp: iat + 1500 }
  ]
  const input = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  const token = `${input}.${createHmac('sha256', SECRET).update(input).digest('base64url')}`
  tokens.set(user, token)
  return token
}

/**
 * Writers that go on until they are told to stop, whatever they are answered; what was acknowledged is kept. Half of
 * them use keys.
 */
export function writers(port: number, count: number) {
  const acknowledged = new Set<string>()
  const statuses = new Map<number, number>()
  let slowest = 0
  let going = true
  let latest = performance.now()
  let longest = 0
  const one = async (n: number) => {
    for (let i = 0; going; i++) {
      const key = n % 2 === 0 ? undefined : randomUUID()
      const { status, ms, body } = await ask(port, 'POST', '/api/tasks', `user-${n}`, { title: `task ${i}` }, key)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      slowest = Math.max(slowest, ms)
      if (status === 201) {
        acknowledged.add((JSON.parse(body) as { id: string }).id)
        longest = Math.max(longest, performance.now() - latest)
        latest = performance.now()
      } else await sleep(20)
    }
  }
  const all = Array.from({ length: count }, (_, n) => one(n))
  const told = () => [...statuses].map(([status, times]) => `${status}: ${times}`).join(', ')
  return {
    acknowledged,
    statuses,
    /** The slowest answer, and the longest time without any that was good, in milliseconds. */
    slowest: () => slowest,
    longest: () => longest,
    told,
    /** Resolves when `least` are acknowledged in all. */
    reach: (least: number) =>
      until(
        () => `${least} acknowledged writes (${acknowledged.size}; ${told()})`,
        () => acknowledged.size >= least
      ),
    async stop() {
      going = false
      await Promise.all(all)
    }
  }
}
