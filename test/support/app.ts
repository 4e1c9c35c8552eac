import { cpSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { sql } from 'drizzle-orm'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { drizzle } from 'drizzle-orm/postgres-js'
import type { FastifyInstance } from 'fastify'
import pino from 'pino'
import type postgres from 'postgres'
import { openClient } from '../../src/db/client.ts'
import { MIGRATIONS, versionsOf } from '../../src/db/migrate.ts'
import * as schema from '../../src/db/schema.ts'
import { build, testConfig } from '../contract/application.ts'
import { setUp } from '../contract/setup.ts'
import { testSchema } from './tables.ts'
import { TEMPLATE } from './template.ts'

export {
  asUser,
  build,
  claimsOf,
  newUser,
  routesOf,
  SECRET,
  sign,
  testConfig,
  tokenFor
} from '../contract/application.ts'
export { databaseUrl } from '../contract/database.ts'

/** This repository, with more tables whose rows belong to users. */
export const projectOf = (more: Record<string, unknown>) => ({
  schema: { ...schema, ...more },
  routes: fileURLToPath(new URL('../../routes', import.meta.url)),
  migrations: MIGRATIONS
})

// Every test of this repository has the tables of the tests too.
setUp({
  loadProject: async () => projectOf(testSchema),
  prepareFolder,
  prepareServer
})

/** The script that `TEST_DATABASE_SCRIPT` names, for the tests of a database that an operator has changed. */
const script = () => {
  const file = process.env.TEST_DATABASE_SCRIPT
  return file === undefined ? 'select 1' : readFileSync(file, 'utf8')
}

/** Fills the folder of an embedded database: a copy of the template, because making one takes seconds. */
async function prepareFolder(folder: string): Promise<void> {
  cpSync(TEMPLATE, folder, { recursive: true })
  if (process.env.TEST_DATABASE_SCRIPT === undefined) return
  const { database } = await testConfig({ DATABASE_URL: `pglite://${folder}` })
  const { db, close } = await openClient(database, pino({ level: 'silent' }))
  await db.execute(sql.raw(script()))
  await close()
}

/** Adds to a migrated database what the tests of this repository need. */
async function prepareServer(client: postgres.Sql, name: string): Promise<void> {
  const { createTestTables } = await import('./create-tables.ts')
  await createTestTables(drizzle({ client }))
  // These migrations belong to the next version. They are not recorded, because running instances do not check again.
  const later = process.env.TEST_LATER_MIGRATIONS
  for (const { folderMillis, sql: statements } of later === undefined
    ? []
    : readMigrationFiles({ migrationsFolder: later })) {
    if (!versionsOf(MIGRATIONS).application.includes(folderMillis))
      for (const statement of statements) await client.unsafe(statement)
  }
  await client.unsafe(documentedRole(name))
  await client.unsafe(script())
}

/** The statements by which an operator makes the role of `DATABASE_RLS`, for a role `name` with that password. */
function documentedRole(name: string): string {
  const [, block = ''] = /^```sql\n([\s\S]*?)^```$/m.exec(readFileSync('docs/row-level-security.md', 'utf8')) ?? []
  return block.replaceAll('rowkeeper', name).replace('…', name)
}

/** The value of a metric (`src/telemetry/metrics.ts`): a number, or one for each value of its label. */
export const metric = (app: FastifyInstance, name: string) => app.metrics.find((one) => one.name === name)?.read()

/** The application without a database, which saves its start. Requests that need the database are answered 503. */
export const buildAlone: typeof build = (t, env, extend, schema) =>
  build(t, { DATABASE_URL: 'postgres://127.0.0.1:1/none', ...env }, extend, schema)
