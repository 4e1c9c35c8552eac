import { generateDrizzleJson, generateMigration } from 'drizzle-kit/api'
import { sql } from 'drizzle-orm'
import type { OwnedTable } from '../../src/db/owned.ts'
import type { Db } from '../../src/db/prepare.ts'
import { clips, folders, papers } from './papers.ts'
import { sampleStatus, samples } from './samples.ts'

/** The tables whose rows belong to users, in the databases of the tests only. */
export const testTables: OwnedTable[] = [samples, folders, papers, clips]

/** The same with what belongs to them, as a module of a team exports them. */
export const testSchema = { sampleStatus, samples, folders, papers, clips }

/** Creates tables, as the generated migration of a team would. */
export async function createTables(db: Db, schema: Record<string, unknown>): Promise<void> {
  const [empty, full] = [generateDrizzleJson({}), generateDrizzleJson(schema)]
  for (const statement of await generateMigration(empty, full)) await db.execute(sql.raw(statement))
}

/** Creates the tables of the tests. */
export const createTestTables = (db: Db) => createTables(db, testSchema)
