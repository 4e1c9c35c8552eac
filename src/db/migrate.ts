import { fileURLToPath } from 'node:url'
import { sql } from 'drizzle-orm'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { migrate as applyMigrations } from 'drizzle-orm/postgres-js/migrator'
import type { Db } from './prepare.ts'

/** `drizzle/`, beside the sources as beside the build. */
export const MIGRATIONS = fileURLToPath(new URL('../../drizzle', import.meta.url))

// Any number that no other program locks; two instances that start at once migrate one after the other.
const LOCK = 7_207_315_849

/**
 * Our record of the migrations that were applied. Drizzle's default table may be that of another application, whose
 * migrations are later than ours.
 */
export const RECORD = { schema: 'drizzle', table: 'rowkeeper_migrations' }

/** The versions of a schema: when each of its migrations was generated, in milliseconds since the epoch. */
export const versionsOf = (folder: string) =>
  readMigrationFiles({ migrationsFolder: folder }).map(({ folderMillis }) => folderMillis)

/** The versions that the database has, as part of a query. */
export const APPLIED_VERSIONS = "(select coalesce(json_agg(created_at), '[]') from drizzle.rowkeeper_migrations)"

const RUN_MIGRATE = 'run npm run db:migrate (in production: node dist/src/commands/migrate.js)'

/** What to do about a schema that is not the expected one. */
export const REMEDIES = {
  older: `The schema of the database is older than this version of the service: ${RUN_MIGRATE}.`,
  newer:
    'The schema of the database is newer than this version of the service: ' +
    'run the version that migrated it, or a later one.',
  incomplete:
    'The schema of the database lacks a migration although a later one was applied: ' +
    'generate it anew (npm run db:generate), so that it is the last.',
  missing: `The database that DATABASE_URL names has not the tables of the service: ${RUN_MIGRATE}.`
}

/** How the versions that a database has differ from those that are needed; undefined when they are the same. */
export function mismatch(
  applied: readonly number[] = [],
  expected: readonly number[]
): keyof typeof REMEDIES | undefined {
  const lacking = expected.filter((version) => !applied.includes(version))
  if (lacking.length > 0) return Math.max(0, ...applied) > Math.min(...lacking) ? 'incomplete' : 'older'
  return applied.length > expected.length ? 'newer' : undefined
}

/**
 * Makes our record where there is none, and copies our migrations from Drizzle's table, which earlier versions used.
 * That table stays, because instances of such a version may still run. Everybody may read the record, because the role
 * of `DATABASE_RLS` got its rights before the record was made.
 */
const recordFrom = (versions: readonly number[]) =>
  sql.raw(`
  do $$ begin
    if to_regclass('drizzle.rowkeeper_migrations') is null then
      create schema if not exists drizzle;
      create table drizzle.rowkeeper_migrations (id serial primary key, hash text not null, created_at bigint);
      grant select on drizzle.rowkeeper_migrations to public;
      if to_regclass('drizzle.__drizzle_migrations') is not null then
        insert into drizzle.rowkeeper_migrations (hash, created_at)
          select hash, created_at from drizzle.__drizzle_migrations
          where created_at = any ('{${versions.join()}}'::bigint[]) order by created_at;
      end if;
    end if;
  end $$`)

/**
 * Applies the migrations that the database does not have yet, all in one transaction.
 *
 * @param db must have one connection only (`max: 1`), since an advisory lock belongs to its session
 * @throws when a later version of the service migrated it, or a migration is missing before those that were applied
 */
export async function migrate(db: Db, folder = MIGRATIONS): Promise<void> {
  await db.execute(sql`select pg_advisory_lock(${LOCK}::bigint)`)
  try {
    const expected = versionsOf(folder)
    await db.execute(recordFrom(expected))
    await applyMigrations(db, {
      migrationsFolder: folder,
      migrationsSchema: RECORD.schema,
      migrationsTable: RECORD.table
    })
    const [row] = await db.execute<{ applied: number[] }>(sql.raw(`select ${APPLIED_VERSIONS} as applied`))
    const fault = mismatch(row?.applied, expected)
    if (fault !== undefined) throw new Error(REMEDIES[fault])
  } finally {
    await db.execute(sql`select pg_advisory_unlock(${LOCK}::bigint)`)
  }
}
