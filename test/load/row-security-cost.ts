// `TEST_DATABASE_URL=postgres://… node dist/test/load/row-security-cost.js` (an administrator's, on this machine): CPU
// milliseconds for 1,000 requests, of the service and of PostgreSQL, without and with row-level security, side by side.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import autocannon from 'autocannon'
import postgres from 'postgres'
import t from 'tap'
import { databaseUrl, SECRET, tokenFor } from '../support/app.ts'

const ROUNDS = 5
const SECONDS = 4
const CONNECTIONS = 32
const TASKS = 50
// Linux reports utime and stime in these ticks (proc(5)).
const TICKS_PER_SECOND = 100

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND
}

async function serve(port: number, env: Record<string, string>) {
  const child = spawn(process.execPath, ['dist/src/server.js'], {
    env: {
      PATH: process.env.PATH,
      NODE_ENV: 'production',
      LOG_LEVEL: 'warn',
      RATE_LIMIT_MAX: '1000000000',
      BETTER_AUTH_SECRET: SECRET,
      PORT: String(port),
      ...env
    },
    stdio: 'inherit'
  })
  t.teardown(() => child.kill())
  const url = `http://127.0.0.1:${port}`
  while (!(await fetch(`${url}/health/ready`).catch(() => undefined))?.ok) await new Promise((r) => setTimeout(r, 100))
  return { url, pid: Number(child.pid) }
}

t.setTimeout(600_000)
t.test('what the wall costs', async (t) => {
  const headers = { authorization: `Bearer ${tokenFor('alice')}`, 'content-type': 'application/json' }
  const servers = {
    plain: await serve(4101, { DATABASE_URL: await databaseUrl('owner') }),
    restricted: await serve(4102, { DATABASE_URL: await databaseUrl('restricted'), DATABASE_RLS: 'true' })
  }
  const admin = postgres(await databaseUrl('owner'), { max: 1 })
  t.teardown(() => admin.end())
  for (let i = 0; i < TASKS; i++) {
    await fetch(`${servers.plain.url}/api/tasks`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ title: `Task ${i}` })
    })
  }
  const [{ id }] = (await (await fetch(`${servers.plain.url}/api/tasks`, { headers })).json()) as [{ id: string }]
  const scenarios = {
    list: { path: '/api/tasks' },
    get: { path: `/api/tasks/${id}` },
    update: { path: `/api/tasks/${id}`, method: 'PUT', body: '{"completed":true}' }
  } as const

  for (const [scenario, { path, ...request }] of Object.entries(scenarios)) {
    const costs = {
      plain: { service: [] as number[], postgres: [] as number[] },
      restricted: { service: [] as number[], postgres: [] as number[] }
    }
    for (let round = 0; round < ROUNDS; round++) {
      for (const name of ['plain', 'restricted'] as const) {
        const { url, pid } = servers[name]
        const backends = await admin<
          { pid: number }[]
        >`select pid from pg_stat_activity where application_name = 'rowkeeper'`
        const used = () => [cpuMs(pid), backends.reduce((sum, { pid }) => sum + cpuMs(pid), 0)] as const
        const before = used()
        const { '2xx': done, non2xx } = await autocannon({
          url: url + path,
          headers,
          connections: CONNECTIONS,
          duration: SECONDS,
          ...request
        })
        const after = used()
        t.equal(non2xx, 0)
        costs[name].service.push(((after[0] - before[0]) / done) * 1000)
        costs[name].postgres.push(((after[1] - before[1]) / done) * 1000)
      }
    }
    const of = (name: 'plain' | 'restricted') => [median(costs[name].service), median(costs[name].postgres)] as const
    const [plain, restricted] = [of('plain'), of('restricted')]
    const total = ([service, postgres]: typeof plain) => service + postgres
    const show = ([service, postgres]: typeof plain) => `${service.toFixed(0)} + ${postgres.toFixed(0)}`
    console.log(
      `${scenario.padEnd(7)} ${show(plain)} ms without, ${show(restricted)} ms with row-level security: ${(total(restricted) / total(plain)).toFixed(2)}x`
    )
  }
})
