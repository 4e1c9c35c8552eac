import { spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { get } from 'node:http'
import { fileURLToPath } from 'node:url'
import { drizzle } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import { migrate } from '../../src/db/migrate.ts'
import { fetchJson } from '../support/http.ts'

// 1,000 streams of 1,000 users on one process: what each takes of its memory, and how long a change that was made
// through another process takes to arrive, before and after the connection that listens was killed. TEST_DATABASE_URL
// is an administrator's.
const STREAMS = 1000
const CHANGES = 200

const server = process.env.TEST_DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'
const name = `rowkeeper_drill_${process.pid}`
const SECRET = 'the secret of this drill, which is long enough'
const asUser = (sub: string) => {
  const now = Math.floor(Date.now() / 1000)
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const input = `${part({ alg: 'HS256' })}.${part({ sub, iat: now, exp: now + 600 })}`
  return { authorization: `Bearer ${input}.${createHmac('sha256', SECRET).update(input).digest('base64url')}` }
}
const admin = postgres(server, { max: 1, onnotice: () => {} })
await admin.unsafe(`create database ${name}`)
const { href } = Object.assign(new URL(server), { pathname: `/${name}` })
const client = postgres(href, { max: 1, onnotice: () => {} })
await migrate(drizzle({ client }))

async function start() {
  const env = {
    ...process.env,
    NODE_ENV: 'production',
    PORT: '0',
    DATABASE_URL: href,
    BETTER_AUTH_SECRET: SECRET,
    RATE_LIMIT_MAX: 'off'
  }
  const child = spawn(process.execPath, [fileURLToPath(new URL('../../src/server.js', import.meta.url))], { env })
  child.stderr.pipe(process.stderr)
  let output = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  for (;;) {
    await once(child.stdout, 'data')
    const [, url] = /"msg":"Server listening at (http:[^"]+)"/.exec(output) ?? []
    if (url !== undefined) return { child, url }
  }
}
const [reader, writer] = await Promise.all([start(), start()])
const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${reader.child.pid}/status`, 'utf8'))?.[1])

const arrived = new Map<string, (at: number) => void>()
const watch = async (user: string) => {
  const [response] = await once(
    get(`${reader.url}/api/tasks/events`, { headers: asUser(user), agent: false }),
    'response'
  )
  if (response.statusCode !== 200) throw new Error(`${response.statusCode}`)
  response.on('data', (chunk: Buffer) => {
    const [, title] = /"title":"([^"]+)"/.exec(chunk.toString()) ?? []
    if (title !== undefined) arrived.get(title)?.(performance.now())
  })
  await once(response, 'data')
}
const tell = async (user: string, title: string) => {
  const done = new Promise<number>((resolve) => arrived.set(title, resolve))
  const from = performance.now()
  await fetchJson(`${writer.url}/api/tasks`, { headers: asUser(user), body: { title } })
  return (await done) - from
}
const median = (all: number[]) => all.sort((a, b) => a - b)[all.length >> 1] ?? Number.NaN
const users = Array.from({ length: STREAMS }, (_, n) => `user-${n}`)

await watch('warm')
const before = memory()
for (let n = 0; n < STREAMS; n += 50) await Promise.all(users.slice(n, n + 50).map(watch))
const each = (memory() - before) / STREAMS
console.log(`${STREAMS} streams: ${before} KiB before, ${memory()} KiB after, ${each.toFixed(1)} KiB each`)

let good = each < 200
for (const when of ['', ' after the connection that listens was killed']) {
  if (when !== '') {
    const killed = await client`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and query = 'listen "rowkeeper"'`
    good &&= killed.length === 1
  }
  const first = await tell('user-0', `first${when}`)
  const all: number[] = []
  for (let n = 0; n < CHANGES; n++) all.push(await tell(users[(n * 7) % STREAMS] ?? '', `${n}${when}`))
  const middle = median(all)
  good &&= middle < 1000 && first < 20_000
  console.log(
    `a change${when}: ${middle.toFixed(1)} ms at the median, ${Math.max(...all).toFixed(1)} ms at most, the first ${first.toFixed(1)} ms`
  )
}
for (const { child } of [reader, writer]) {
  child.kill('SIGTERM')
  const [code] = await once(child, 'exit')
  good &&= code === 0
}
console.log(good ? 'ok' : 'NOT OK')
await client.end()
await admin.unsafe(`drop database ${name} with (force)`)
await admin.end()
process.exit(good ? 0 : 1)
