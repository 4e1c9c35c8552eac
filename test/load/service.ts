import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { freePort } from '../support/free-port.ts'

const DIST = new URL('../../', import.meta.url)
/** A busy machine needs most of it for the first start of the embedded engine. */
const START_MS = 90_000
// Linux reports utime and stime in these ticks (proc(5)).
const TICKS_PER_SECOND = 100

type Env = Record<string, string | undefined>

/** A service that was started as production starts it: a process of its own, from the build. */
export interface Service {
  url: string
  pid: number
  /** Milliseconds from its start until it was ready. */
  readyMs: number
  stop(): Promise<void>
}

/** Runs `dist/<file>` with `env`; its output is shown. */
function node(file: string, env: Env, ...args: string[]) {
  return spawn(process.execPath, [fileURLToPath(new URL(file, DIST)), ...args], {
    env,
    stdio: ['ignore', 'inherit', 'inherit']
  })
}

/**
 * Starts the built service on a free port and waits until it is ready. Throws when it ends before that.
 *
 * @param file of the build that listens on `PORT`
 */
export async function startService(env: Env, file = 'src/server.js'): Promise<Service> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const began = performance.now()
  const child = node(file, { ...env, HOST: '127.0.0.1', PORT: String(port) })
  // This also runs when the process is interrupted, and before its folder is removed.
  process.prependOnceListener('exit', () => child.kill('SIGKILL'))
  const ended = once(child, 'exit')
  const stop = async () => {
    child.kill()
    await ended
  }
  while (!(await fetch(`${url}/health/ready`).catch(() => undefined))?.ok) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('The service did not start.')
    if (performance.now() - began > START_MS) {
      await stop()
      throw new Error(`The service was not ready after ${START_MS / 1000} s.`)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return { url, pid: Number(child.pid), readyMs: performance.now() - began, stop }
}

/** Applies the migrations, as `rowkeeper migrate` does. */
export async function migrate(env: Env): Promise<void> {
  const [code] = await once(node('src/commands/main.js', env, 'migrate'), 'exit')
  if (code !== 0) throw new Error('DATABASE_URL could not be migrated.')
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // No such process any more, or no such file system: not Linux.
    return undefined
  }
}

/** Seconds of processor time that a process has used, with all its threads; undefined where this is not known. */
export function cpuSeconds(pid: number): number | undefined {
  const fields = read(`/proc/${pid}/stat`)?.split(') ')[1]?.split(' ')
  return fields && (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** Megabytes of memory that a process has resident; undefined where this is not known. */
export function memoryMb(pid: number): number | undefined {
  const [, kilobytes] = /^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`) ?? '') ?? []
  return kilobytes === undefined ? undefined : Number(kilobytes) / 1000
}

/** The PostgreSQL server that the service uses, as seen beside it. */
export interface Server {
  version: string
  /** Processes that serve the service, when they are on this machine. */
  backends(): Promise<number[]>
  /** Cleans up after the filling, so that this does not happen in the middle of a measurement. */
  tidy(table: string): Promise<void>
  close(): Promise<void>
}

export async function watchServer(url: string): Promise<Server> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  const [row] = await sql<{ server_version: string }[]>`show server_version`
  return {
    version: String(row?.server_version).split(' ')[0] ?? '',
    async backends() {
      const rows = await sql<{ pid: number }[]>`
        select pid from pg_stat_activity where application_name = 'rowkeeper' and datname = current_database()`
      // A process of this number may be another one here when the server is elsewhere.
      return rows.map(({ pid }) => pid).filter((pid) => read(`/proc/${pid}/comm`)?.startsWith('postgres'))
    },
    async tidy(table) {
      await sql`vacuum analyze ${sql(table)}`
    },
    close: () => sql.end()
  }
}
