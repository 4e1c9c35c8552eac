// `TEST_DATABASE_URL=postgres://… node dist/test/load/row-security-cost.js` (an administrator's, on this machine): CPU
// milliseconds for 1,000 requests, of the service and of PostgreSQL, without and with row-level security, side by side.
import t from 'tap'
import { databaseUrl, SECRET, tokenFor } from '../support/app.ts'
import { compare } from './cost.ts'
import { type Service, startService, watchServer } from './service.ts'

const CONNECTIONS = 32
const TASKS = 50

async function serve(env: Record<string, string>) {
  const service = await startService({
    PATH: process.env.PATH,
    NODE_ENV: 'production',
    LOG_LEVEL: 'error',
    RATE_LIMIT_MAX: '1000000000',
    BETTER_AUTH_SECRET: SECRET,
    ...env
  })
  t.teardown(() => service.stop())
  return service
}

t.setTimeout(600_000)
t.test('what the wall costs', async (t) => {
  const headers = { authorization: `Bearer ${tokenFor('alice')}`, 'content-type': 'application/json' }
  const plain = await serve({ DATABASE_URL: await databaseUrl('owner') })
  const restricted = await serve({ DATABASE_URL: await databaseUrl('restricted'), DATABASE_RLS: 'true' })
  const server = await watchServer(await databaseUrl('owner'))
  t.teardown(() => server.close())
  for (let i = 0; i < TASKS; i++) {
    await fetch(`${plain.url}/api/tasks`, { method: 'POST', headers, body: JSON.stringify({ title: `Task ${i}` }) })
  }
  const [{ id }] = (await (await fetch(`${plain.url}/api/tasks`, { headers })).json()) as [{ id: string }]
  const scenarios = {
    list: { path: '/api/tasks', method: 'GET' },
    get: { path: `/api/tasks/${id}`, method: 'GET' },
    update: { path: `/api/tasks/${id}`, method: 'PUT', body: '{"completed":true}' }
  } as const
  for (const [scenario, request] of Object.entries(scenarios)) {
    const next = () => ({ ...request, headers })
    const wayTo = ({ url, pid }: Service) => ({ url, pid, connections: CONNECTIONS, next })
    await compare(t, scenario, wayTo(plain), 'row-level security', wayTo(restricted), server)
  }
})
