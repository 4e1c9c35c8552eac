// A module of its own, because drizzle-kit takes long to load and few processes need it.
import { generateDrizzleJson, generateMigration } from 'drizzle-kit/api'
import { sql } from 'drizzle-orm'
import type { Db } from '../../src/db/prepare.ts'
import { testSchema } from './tables.ts'

/** Creates tables, as the generated migration of a team would. */
export async function createTables(db: Db, schema: Record<string, unknown>): Promise<void> {
  const [empty, full] = [generateDrizzleJson({}), generateDrizzleJson(schema)]
  for (const statement of await generateMigration(empty, full)) await db.execute(sql.raw(statement))
}

/** Creates the tables of the tests. */
export const createTestTables = (db: Db) => createTables(db, testSchema)
