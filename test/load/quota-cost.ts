// `TEST_DATABASE_URL=postgres://… node dist/test/load/quota-cost.js` (an administrator's, on this machine): CPU
// milliseconds for 1,000 creates, of the service and of PostgreSQL, of a resource without and with a `max`, side by side.
import { drizzle } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import t from 'tap'
import { databaseUrl, SECRET, tokenFor } from '../support/app.ts'
import { createTables } from '../support/create-tables.ts'
import { compare, type Way } from './cost.ts'
import { bounded, free } from './quota-service.ts'
import { startService, watchServer } from './service.ts'

/** How many users create, and how many requests are in flight at once. */
const SCENARIOS = [
  [1000, 32],
  [1, 1],
  [1, 32]
] as const
const BODY = JSON.stringify({ title: 'Buy milk', dueAt: '2026-12-24T18:00:00Z' })

t.setTimeout(600_000)
t.test('what a quota costs', async (t) => {
  const DATABASE_URL = await databaseUrl('owner')
  const client = postgres(DATABASE_URL, { max: 1, onnotice: () => {} })
  t.teardown(() => client.end())
  await createTables(drizzle({ client }), { free, bounded })
  const env = {
    PATH: process.env.PATH,
    NODE_ENV: 'production',
    LOG_LEVEL: 'error',
    RATE_LIMIT_MAX: 'off',
    BETTER_AUTH_SECRET: SECRET,
    DATABASE_URL
  }
  const service = await startService(env, 'test/load/quota-service.js')
  t.teardown(() => service.stop())
  const server = await watchServer(DATABASE_URL)
  t.teardown(() => server.close())

  for (const [users, connections] of SCENARIOS) {
    const headers = Array.from({ length: users }, (_, i) => ({
      authorization: `Bearer ${tokenFor(`user-${users}-${i}`, { exp: Math.floor(Date.now() / 1000) + 1700 })}`,
      'content-type': 'application/json'
    }))
    const wayTo = (path: string): Way => {
      let n = 0
      const next = () => ({ method: 'POST' as const, path, body: BODY, headers: headers[n++ % users] ?? {} })
      return { url: service.url, pid: service.pid, connections, next }
    }
    // The first create of each user makes the row of their count.
    for (const path of ['/api/free-tasks', '/api/bounded-tasks']) {
      for (const one of headers) {
        const { status } = await fetch(service.url + path, { method: 'POST', headers: one, body: BODY })
        t.equal(status, 201)
      }
    }
    const what = `${users} users, ${connections} requests at once`
    await compare(t, what, wayTo('/api/free-tasks'), 'a quota', wayTo('/api/bounded-tasks'), server)
  }
})
