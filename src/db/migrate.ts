import { fileURLToPath } from 'node:url'
import { sql } from 'drizzle-orm'
import { migrate as applyMigrations } from 'drizzle-orm/postgres-js/migrator'
import type { Db } from './connect.ts'

/** `drizzle/`, beside the sources as beside the build. */
export const MIGRATIONS = fileURLToPath(new URL('../../drizzle', import.meta.url))

// Any number that no other program locks; two instances that start at once migrate one after the other.
const LOCK = 7_207_315_849

/**
 * Applies the migrations that the database does not have yet, all in one transaction.
 *
 * @param db must have one connection only (`max: 1`), since an advisory lock belongs to its session
 */
export async function migrate(db: Db, folder = MIGRATIONS): Promise<void> {
  await db.execute(sql`select pg_advisory_lock(${LOCK}::bigint)`)
  try {
    await applyMigrations(db, { migrationsFolder: folder })
  } finally {
    await db.execute(sql`select pg_advisory_unlock(${LOCK}::bigint)`)
  }
}
