import { existsSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { sql } from 'drizzle-orm'
import pino from 'pino'
import { openClient } from '../src/db/client.ts'
import { createTestTables } from './support/create-tables.ts'
import { TEMPLATE } from './support/template.ts'

/** Makes a migrated folder of the embedded engine. */
async function make(folder: string): Promise<void> {
  const { db, close } = await openClient(
    { url: `pglite://${folder}`, listenUrls: [], poolMax: 1, prepare: true, rls: false, statementTimeoutMs: 0 },
    pino({ level: 'silent' })
  )
  await createTestTables(db)
  // No test makes a database of PostgreSQL's two templates, which have more than half of the files.
  await db.execute(sql`update pg_database set datistemplate = false where datname <> current_database()`)
  for (const name of ['template0', 'template1']) await db.execute(sql.raw(`drop database ${name}`))
  await close()
}

// This runs before the suite (`npm test`). It makes the folder that each test process copies, because making one takes
// seconds. A new build has none.
const parent = dirname(TEMPLATE)
if (!existsSync(parent)) {
  const made = `${parent}.${process.pid}`
  await make(join(made, basename(TEMPLATE)))
  // Another process may have been as quick.
  if (existsSync(parent)) rmSync(made, { recursive: true })
  else renameSync(made, parent)
}
