import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { developmentToken } from '../../src/auth/development-token.ts'
import { loadConfig } from '../../src/config/config.ts'
import { fetchJson } from '../support/http.ts'
import { until } from './kit.ts'

// The service behind PgBouncer in transaction mode, set up as docs/running.md says, with more requests at once than
// there are connections: every answer is expected, and its caller's own. Then the same with row-level security.
// TEST_DATABASE_URL is an administrator's.
const USERS = 20
const ROUNDS = 20
const BOUNCER = 54332
const PORT = 54333
const BETTER_AUTH_SECRET = 'the secret of the drill, which is long enough'

const server = new URL(process.env.TEST_DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres')
const name = `rowkeeper_drill_${process.pid}`
const direct = Object.assign(new URL(server), { pathname: `/${name}` }).href
const bounced = `postgres://${server.username}@127.0.0.1:${BOUNCER}/${name}`
const api = `http://127.0.0.1:${PORT}`

const program = (file: string) => fileURLToPath(new URL(`../../src/${file}`, import.meta.url))
const run = (file: string, env: Record<string, string>, ...args: string[]) =>
  spawn(process.execPath, [program(file), ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit']
  })

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}

const config = loadConfig({ NODE_ENV: 'test', BETTER_AUTH_SECRET })

/**
 * What went wrong for a user who creates, changes, reads, lists and deletes, up to the first answer of another status.
 */
async function visit(user: string): Promise<string[]> {
  const headers = { authorization: `Bearer ${await developmentToken(config, user)}` }
  const faults: string[] = []
  const ask = async (method: string, url: string, status: number, body?: object) => {
    const answer = await fetchJson(api + url, { method, headers, body })
    if (answer.status !== status) throw new Error(`${method} ${answer.status} ${answer.text}`)
    return answer.text
  }
  for (let round = 0; round < ROUNDS; round++) {
    const title = `${user} ${round}`
    const dueAt = '2030-01-31T09:00:00+00:00'
    const { id, ...created } = JSON.parse(await ask('POST', '/api/tasks', 201, { title, dueAt }))
    if (created.dueAt !== dueAt) faults.push(`dueAt ${created.dueAt}`)
    await ask('PATCH', `/api/tasks/${id}`, 200, { completed: true })
    if (!(await ask('GET', `/api/tasks/${id}`, 200)).includes(`"${title}"`)) faults.push('GET another')
    const [first, ...others] = JSON.parse(await ask('GET', '/api/tasks', 200))
    if (first?.title !== title || others.length > 0) faults.push('list of another')
    await ask('DELETE', `/api/tasks/${id}`, 200)
  }
  return faults
}

/** Makes the role of row-level security, by the documented grants. */
async function makeBoundRole(): Promise<void> {
  const owner = postgres(direct, { max: 1 })
  await owner.unsafe(`create role ${name} login password '${name}';
    grant select, insert, update, delete on all tables in schema public to ${name};
    grant usage on schema drizzle to ${name};
    grant select on all tables in schema drizzle to ${name}`)
  await owner.end()
}

const folder = mkdtempSync(join(tmpdir(), 'rowkeeper-pgbouncer-'))
chmodSync(folder, 0o755)
writeFileSync(
  join(folder, 'pgbouncer.ini'),
  `[databases]
${name} = host=${server.hostname} port=${server.port || 5432} user=${server.username}${server.password && ` password=${server.password}`}
${name}_bound = host=${server.hostname} port=${server.port || 5432} dbname=${name} user=${name} password=${name}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${BOUNCER}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
ignore_startup_parameters = statement_timeout
`
)

const admin = postgres(server.href, { max: 1, onnotice: () => {} })
await admin.unsafe(`create database ${name}`)
// These settings belong to the database, not to the service (issue 16).
for (const setting of ["DateStyle = 'German'", "TimeZone = 'Asia/Kolkata'"]) {
  await admin.unsafe(`alter database ${name} set ${setting}`)
}
const started: ChildProcess[] = []
let failed = false
try {
  const [migrated] = await once(run('commands/main.js', { DATABASE_URL: direct }, 'migrate'), 'exit')
  if (migrated !== 0) throw new Error('not migrated')
  await makeBoundRole()
  // It refuses to run as root.
  const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
  started.push(spawn('pgbouncer', ['-q', join(folder, 'pgbouncer.ini')], { ...user, stdio: 'ignore' }))
  for (const mode of [{ DATABASE_URL: bounced }, { DATABASE_URL: `${bounced}_bound`, DATABASE_RLS: 'true' }]) {
    const service = run('server.js', {
      NODE_ENV: 'production',
      LOG_LEVEL: 'error',
      PORT: String(PORT),
      DATABASE_PREPARE: 'false',
      RATE_LIMIT_MAX: 'off',
      BETTER_AUTH_SECRET,
      ...mode
    })
    started.unshift(service)
    await until(
      () => 'the service is ready',
      async () => (await fetch(`${api}/health/ready`).catch(() => undefined))?.ok ?? false
    )
    const faults = (
      await Promise.all(
        Array.from({ length: USERS }, (_, n) => visit(`user-${n}`).catch((error: Error) => [error.message]))
      )
    ).flat()
    const how = `row-level security ${'DATABASE_RLS' in mode ? 'on' : 'off'}`
    console.log(
      `${USERS * ROUNDS * 5} requests of ${USERS} users, 3 connections, ${how}: ${faults.length} wrong`,
      faults
    )
    failed ||= faults.length > 0
    await end(service)
  }
} finally {
  for (const child of started) await end(child)
  await admin.unsafe(`drop database ${name} with (force)`)
  await admin.unsafe(`drop role if exists ${name}`)
  await admin.end()
  rmSync(folder, { recursive: true })
}
process.exit(failed ? 1 : 0)
