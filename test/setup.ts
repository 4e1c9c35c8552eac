import { rmSync } from 'node:fs'
import { sql } from 'drizzle-orm'
import pino from 'pino'
import { openClient } from '../src/db/client.ts'
import { createTestTables } from './support/create-tables.ts'
import { TEMPLATE } from './support/template.ts'

// This runs once before the suite (.taprc). It makes a migrated folder that each test process copies, because making
// one takes seconds.
rmSync(TEMPLATE, { recursive: true, force: true })
const { db, close } = await openClient(
  { url: `pglite://${TEMPLATE}`, listenUrls: [], poolMax: 1, prepare: true, rls: false, statementTimeoutMs: 0 },
  pino({ level: 'silent' })
)
await createTestTables(db)
// No test makes a database of PostgreSQL's two templates, which have more than half of the files.
await db.execute(sql`update pg_database set datistemplate = false where datname <> current_database()`)
for (const name of ['template0', 'template1']) await db.execute(sql.raw(`drop database ${name}`))
await close()
