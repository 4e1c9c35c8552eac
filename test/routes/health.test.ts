import { pgTable, text } from 'drizzle-orm/pg-core'
import t from 'tap'
import type { OwnedTable } from '../../src/db/owned.ts'
import { asUser, build, newUser } from '../support/app.ts'

t.test('health is public, never limited, and says nothing', async (t) => {
  const app = await build(t, { RATE_LIMIT_MAX: '1', RATE_LIMIT_ANONYMOUS_MAX: '1' })
  for (let i = 0; i < 3; i++) {
    for (const url of ['/health/live', '/health/ready', '/health/ready/']) {
      const answer = await app.inject(url)
      t.equal(answer.statusCode, 200)
      t.equal(answer.body, '{"status":"ok"}')
    }
  }
})

t.test('a database that is away is a 503 that tells nothing of it', async (t) => {
  const app = await build(t, { DATABASE_URL: 'postgres://rowkeeper:hunter2@127.0.0.1:1/none' })
  t.equal((await app.inject('/health/live')).statusCode, 200)
  for (const url of ['/health/ready', '/api/tasks']) {
    const answer = await app.inject({ url, headers: asUser(newUser()) })
    t.equal(answer.statusCode, 503)
    t.equal(answer.headers['retry-after'], '1')
    t.equal(answer.json().code, 'unavailable')
    t.notMatch(answer.body, /hunter2|127\.0\.0\.1|select/)
  }
})

t.test('readiness is red, and says why once, while the database cannot be used', async (t) => {
  const lines: string[] = []
  const app = await build(t, { DATABASE_RLS: 'true' })
  t.equal((await app.inject('/health/ready')).statusCode, 200)
  app.log.error = (line: unknown) => void lines.push(String(line))
  // A table that its role has no right to.
  ;(app.tables as OwnedTable[]).push(pgTable('pg_authid', { userId: text('user_id') }))
  for (let i = 0; i < 2; i++) t.match((await app.inject('/health/ready')).json(), { status: 503, code: 'unavailable' })
  t.match(lines, [/may not read and write/])
  t.equal(lines.length, 1)
})
