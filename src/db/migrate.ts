import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sql } from 'drizzle-orm'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { migrate as applyMigrations } from 'drizzle-orm/postgres-js/migrator'
import type { Db } from './prepare.ts'

/** `drizzle/`, beside the sources as beside the build: the migrations of this repository, none in the package. */
export const MIGRATIONS = fileURLToPath(new URL('../../drizzle', import.meta.url))

// Any number that no other program locks; two instances that start at once migrate one after the other.
const LOCK = 7_207_315_849

/**
 * Our records of the migrations that were applied: those of the application, and those of the service's own tables
 * (`src/db/system-tables.ts`). They are apart, so an application and the package can be upgraded in any order. The
 * default table of Drizzle may be that of another application, whose migrations are later than ours.
 */
const RECORDS = { application: 'rowkeeper_migrations', system: 'rowkeeper_system_migrations' }

const SCHEMA = 'drizzle'

/** Where `drizzle-kit` looks for the record of the application. */
export const RECORD = { schema: SCHEMA, table: RECORDS.application }

/** The migrations of the service's own tables. They come with the package. */
const SYSTEM_MIGRATIONS = join(MIGRATIONS, 'system')

/** The versions of a schema: when each of its migrations was generated, in milliseconds since the epoch. */
export type Versions = Record<keyof typeof RECORDS, readonly number[]>

const isFolder = (folder: string) => existsSync(join(folder, 'meta', '_journal.json'))

const versionsIn = (folder: string) =>
  isFolder(folder) ? readMigrationFiles({ migrationsFolder: folder }).map(({ folderMillis }) => folderMillis) : []

/**
 * The versions that a service needs.
 *
 * @param folder the migrations of the application. There are none in a folder that `drizzle-kit` did not make.
 */
export const versionsOf = (folder: string): Versions => ({
  application: versionsIn(folder),
  system: versionsIn(SYSTEM_MIGRATIONS)
})

const appliedIn = (record: string) => `(select coalesce(json_agg(created_at), '[]') from ${SCHEMA}.${record})`

/** The versions that the database has, as part of a query. */
export const APPLIED_VERSIONS = `json_build_object(
  'application', ${appliedIn(RECORDS.application)}, 'system', ${appliedIn(RECORDS.system)})`

const RUN_MIGRATE = 'run npx rowkeeper migrate'

/** What to do about a schema that is not the expected one. */
export const REMEDIES = {
  older: `The schema of the database is older than this version of the service: ${RUN_MIGRATE}.`,
  newer:
    'The schema of the database is newer than this version of the service: ' +
    'run the version that migrated it, or a later one.',
  incomplete:
    'The schema of the database lacks a migration although a later one was applied: ' +
    'generate it anew (npx rowkeeper generate), so that it is the last.',
  missing:
    `The database lacks a table of the service or of your schema: ${RUN_MIGRATE}. ` +
    'If you have just added the table, run npx rowkeeper generate before.'
}

function mismatchOf(applied: readonly number[], expected: readonly number[]): keyof typeof REMEDIES | undefined {
  const lacking = expected.filter((version) => !applied.includes(version))
  if (lacking.length > 0) return Math.max(0, ...applied) > Math.min(...lacking) ? 'incomplete' : 'older'
  return applied.length > expected.length ? 'newer' : undefined
}

/** How the versions that a database has differ from those that are needed; undefined when they are the same. */
export const mismatch = (applied: Versions, expected: Versions): keyof typeof REMEDIES | undefined =>
  mismatchOf(applied.application, expected.application) ?? mismatchOf(applied.system, expected.system)

/**
 * Makes our records where there are none, and copies the application's migrations from Drizzle's table, which earlier
 * versions used. That table stays, because instances of such a version may still run. Everybody may read the records,
 * because the role of `DATABASE_RLS` got its rights before they were made.
 */
const recordsFrom = (versions: readonly number[]) =>
  sql.raw(`
  do $$ declare
    record text;
  begin
    create schema if not exists ${SCHEMA};
    foreach record in array '{${Object.values(RECORDS).join()}}'::text[] loop
      if to_regclass('${SCHEMA}.' || record) is not null then continue; end if;
      execute format(
        'create table ${SCHEMA}.%I (id serial primary key, hash text not null, created_at bigint)', record);
      execute format('grant select on ${SCHEMA}.%I to public', record);
      if record = '${RECORDS.application}' and to_regclass('${SCHEMA}.__drizzle_migrations') is not null then
        insert into ${SCHEMA}.${RECORDS.application} (hash, created_at)
          select hash, created_at from ${SCHEMA}.__drizzle_migrations
          where created_at = any ('{${versions.join()}}'::bigint[]) order by created_at;
      end if;
    end loop;
  end $$`)

/**
 * Applies the migrations that the database does not have yet: those of the application, then those of the service. In
 * this repository the first ones of the application made the tables of the service, too.
 *
 * @param db must have one connection only (`max: 1`), since an advisory lock belongs to its session
 * @param folder the migrations of the application
 * @throws when a later version of the service migrated it, or a migration is missing before those that were applied
 */
export async function migrate(db: Db, folder = MIGRATIONS): Promise<void> {
  await db.execute(sql`select pg_advisory_lock(${LOCK}::bigint)`)
  try {
    const expected = versionsOf(folder)
    await db.execute(recordsFrom(expected.application))
    const parts = [
      [folder, RECORDS.application],
      [SYSTEM_MIGRATIONS, RECORDS.system]
    ] as const
    for (const [migrationsFolder, migrationsTable] of parts.filter(([one]) => isFolder(one))) {
      await applyMigrations(db, { migrationsFolder, migrationsSchema: SCHEMA, migrationsTable })
    }
    const rows: unknown = await db.execute(sql.raw(`select ${APPLIED_VERSIONS} as applied`))
    const [{ applied }] = rows as [{ applied: Versions }]
    const fault = mismatch(applied, expected)
    if (fault !== undefined) throw new Error(REMEDIES[fault])
  } finally {
    await db.execute(sql`select pg_advisory_unlock(${LOCK}::bigint)`)
  }
}
