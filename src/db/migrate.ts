import { fileURLToPath } from 'node:url'
import { sql } from 'drizzle-orm'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { migrate as applyMigrations } from 'drizzle-orm/postgres-js/migrator'
import type { Db } from './connect.ts'

/** `drizzle/`, beside the sources as beside the build. */
export const MIGRATIONS = fileURLToPath(new URL('../../drizzle', import.meta.url))

// Any number that no other program locks; two instances that start at once migrate one after the other.
const LOCK = 7_207_315_849

/** The version of a schema: when its last migration was generated, in milliseconds since the epoch. */
export const versionOf = (folder: string) =>
  Math.max(0, ...readMigrationFiles({ migrationsFolder: folder }).map(({ folderMillis }) => folderMillis))

/** The version of the schema that the database has, as part of a query. */
export const appliedVersion = sql<string | null>`(select max(created_at) from drizzle.__drizzle_migrations)`

/**
 * What to do about a schema of version `applied` where `expected` is needed, in a sentence; undefined when they are the
 * same.
 */
export function mismatch(applied: string | null | undefined, expected: number): string | undefined {
  if (Number(applied) === expected) return undefined
  return Number(applied) > expected
    ? 'The schema of the database is newer than this version of the service: run the version that migrated it, or a later one.'
    : 'The schema of the database is older than this version of the service: run npm run db:migrate (in production: node dist/src/commands/migrate.js).'
}

/**
 * Applies the migrations that the database does not have yet, all in one transaction.
 *
 * @param db must have one connection only (`max: 1`), since an advisory lock belongs to its session
 * @throws when a later version of the service migrated it
 */
export async function migrate(db: Db, folder = MIGRATIONS): Promise<void> {
  await db.execute(sql`select pg_advisory_lock(${LOCK}::bigint)`)
  try {
    await applyMigrations(db, { migrationsFolder: folder })
    const [row] = await db.execute<{ version: string | null }>(sql`select ${appliedVersion} as version`)
    const fault = mismatch(row?.version, versionOf(folder))
    if (fault !== undefined) throw new Error(fault)
  } finally {
    await db.execute(sql`select pg_advisory_unlock(${LOCK}::bigint)`)
  }
}
