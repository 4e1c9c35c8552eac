import { getTableColumns, sql } from 'drizzle-orm'
import { integer, json, pgTable } from 'drizzle-orm/pg-core'
import pino from 'pino'
import t from 'tap'
import { openClient } from '../../../src/db/client.ts'
import { jsonOf } from '../../../src/db/json.ts'
import { testConfig } from '../../support/app.ts'

t.test('a row may have more columns than a function has arguments (issue 18)', async (t) => {
  const { db, close } = await openClient((await testConfig()).database, pino({ level: 'silent' }))
  t.teardown(close)
  for (const count of [1, 49, 50, 120]) {
    const names = Array.from({ length: count }, (_, i) => `c${i}`)
    const table = pgTable('wide', Object.fromEntries(names.map((name) => [name, integer(name)])))
    const values = sql.raw(names.map((name, i) => `${i % 3 === 0 ? 'null::int' : i} as ${name}`).join())
    const [row] = await db.execute<{ json: string }>(
      sql`select ${jsonOf(getTableColumns(table), 'rows')} as json from (select ${values}) rows`
    )
    t.same(JSON.parse(String(row?.json)), Object.fromEntries(names.map((name, i) => [name, i % 3 === 0 ? null : i])))
  }
})

t.test('a document has no line break, since pages have one between their items (issue 18)', async (t) => {
  const { db, close } = await openClient((await testConfig()).database, pino({ level: 'silent' }))
  t.teardown(close)
  // Our own statements write none, but a default in SQL or a migration can.
  const written = sql.raw(`select E'{"a":\\n[1,\\n"\\\\\\\\n"]}'::json as settings`)
  for (const column of [json('settings'), json('settings').notNull()]) {
    const table = pgTable('documents', { settings: column })
    const [row] = await db.execute<{ json: string }>(
      sql`select ${jsonOf(getTableColumns(table), 'rows')} as json from (${written}) rows`
    )
    t.equal(row?.json, '{"settings":{"a": [1, "\\\\n"]}}')
  }
})
