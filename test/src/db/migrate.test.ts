import { sql } from 'drizzle-orm'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import pino from 'pino'
import t, { type Test } from 'tap'
import { openClient } from '../../../src/db/client.ts'
import { MIGRATIONS, migrate, mismatch, versionsOf } from '../../../src/db/migrate.ts'
import { newDatabase } from '../../contract/database.ts'
import { testConfig } from '../../support/app.ts'

const databases = newDatabase()

/** A client of a database that only this file has, because these tests drop what is in it. */
async function open(t: Test) {
  const { owner } = await databases
  const { database } = await testConfig({ DATABASE_POOL_MAX: '1', DATABASE_URL: owner })
  const client = await openClient(database, pino({ level: 'silent' }))
  t.teardown(client.close)
  return client
}

t.test('a schema of another version is told, and is none to start with', async (t) => {
  const { db, readinessProblem } = await open(t)
  const later = sql`insert into drizzle.rowkeeper_migrations (hash, created_at) values ('later', 9000000000000)`
  const without = sql`delete from drizzle.rowkeeper_migrations where hash = 'later'`
  const shift = (which: 'min' | 'max', by: number) =>
    db.execute(sql`update drizzle.rowkeeper_migrations set created_at = created_at + ${by}::int
      where created_at = (select ${sql.raw(which)}(created_at) from drizzle.rowkeeper_migrations)`)

  await db.execute(later)
  t.match(await readinessProblem(['tasks']), /^The schema of the database is newer .* run the version that migrated it/)
  await t.rejects(migrate(db), { message: /is newer than this version/ })

  await db.execute(without)
  t.equal(await readinessProblem(['tasks']), undefined)
  await migrate(db)

  await db.execute(later)
  t.equal(
    await readinessProblem(['tasks']),
    undefined,
    'whoever runs already goes on while a later version is rolled out'
  )
  await db.execute(without)

  await shift('max', -1)
  t.match(await readinessProblem(['tasks']), /^The schema of the database is older .* run npx rowkeeper migrate/)
  await shift('max', 1)
  await shift('min', -1)
  t.match(
    await readinessProblem(['tasks']),
    /lacks a migration although a later one was applied: generate it anew/,
    'issue 16'
  )
  await t.rejects(migrate(db), { message: /lacks a migration/ })
  await shift('min', 1)
  t.equal(mismatch({ application: [], system: [] }, { application: [1], system: [] }), 'older', 'without any')
})

const another = sql`insert into drizzle.__drizzle_migrations (hash, created_at) values ('another', 9000000000000)`
const ofDrizzle = sql`create table drizzle.__drizzle_migrations (id serial primary key, hash text, created_at bigint)`

t.test('a database that was migrated before the service had a record of its own gets one (issue 16)', async (t) => {
  const { db, readinessProblem } = await open(t)
  await db.execute(sql`drop table drizzle.rowkeeper_migrations`)
  await t.rejects(readinessProblem(['tasks']), { code: '42P01' })
  await db.execute(ofDrizzle)
  for (const { hash, folderMillis } of readMigrationFiles({ migrationsFolder: MIGRATIONS })) {
    await db.execute(sql`insert into drizzle.__drizzle_migrations (hash, created_at) values (${hash}, ${folderMillis})`)
  }
  await db.execute(another)
  await migrate(db)
  t.equal(await readinessProblem(['tasks']), undefined)
  const [old] = await db.execute<{ rows: number }>(sql`select count(*)::int as rows from drizzle.__drizzle_migrations`)
  t.equal(old?.rows, versionsOf(MIGRATIONS).application.length + 1, 'and the old one stays for those who read it')
})

t.test(
  'a database that another application of Drizzle migrated later is migrated all the same (issue 16)',
  async (t) => {
    const { db, readinessProblem } = await open(t)
    await db.execute(sql.raw('drop schema public, drizzle cascade; create schema public; create schema drizzle'))
    await db.execute(ofDrizzle)
    await db.execute(another)
    await migrate(db)
    t.equal(await readinessProblem(['tasks']), undefined)
    t.same(await db.execute(sql`select * from tasks`), [])
  }
)

const WRITTEN = sql.raw(`
  insert into tasks (user_id, id, title) values ('alice', gen_random_uuid(), 'Buy milk');
  insert into idempotency_keys (user_id, key, digest, json) values ('alice', 'key', '', '[]');
  insert into feeds (user_id, seq, started_by, expires_at) values ('alice', 7, '1', now());
  insert into changes (user_id, seq, resource, id, version, kind) values ('alice', 7, 'tasks', gen_random_uuid(), 1, 'created')`)

t.test("the service's own tables of an earlier version are kept, and get what they lack (issue 21)", async (t) => {
  const { db, readinessProblem } = await open(t)
  const names = ['tasks', 'idempotency_keys', 'feeds', 'changes', 'row_counts']
  // How many of the first migrations of this repository the earlier version had.
  for (const had of [1, 2, 3, 4, 5, 6]) {
    await db.execute(sql.raw('drop schema public, drizzle cascade; create schema public; create schema drizzle'))
    await db.execute(ofDrizzle)
    for (const { hash, folderMillis, sql: statements } of readMigrationFiles({ migrationsFolder: MIGRATIONS }).slice(
      0,
      had
    )) {
      for (const statement of statements) await db.execute(sql.raw(statement))
      await db.execute(
        sql`insert into drizzle.__drizzle_migrations (hash, created_at) values (${hash}, ${folderMillis})`
      )
    }
    if (had >= 4) await db.execute(WRITTEN)
    await t.rejects(readinessProblem(['tasks']), { code: '42P01' }, 'until it is migrated')
    await migrate(db)
    await migrate(db)
    t.equal(await readinessProblem(names), undefined)
    const [row] = await db.execute(
      sql`select (select count(*)::int from idempotency_keys where not abridged) as keys, (select max(seq)::int from feeds) as feed,
        (select count(*)::int from changes) as changes, (select count(*)::int from row_counts) as counts,
        (select count(*)::int from pg_policy where polname like '%\\_swept') as swept`
    )
    const kept = had >= 4
    t.same(row, { keys: Number(kept), feed: kept ? 7 : null, changes: Number(kept), counts: 0, swept: 3 }, `${had}`)
  }
})

t.test('an application and the service are upgraded in any order (issue 21)', async (t) => {
  const { db } = await open(t)
  const [system] = versionsOf(MIGRATIONS).system
  const only = (application: number[], system: number[]) => ({ application, system })
  t.equal(mismatch(only([1], []), only([1], [Number(system)])), 'older', 'the package came later')
  t.equal(mismatch(only([], [1]), only([9_000_000_000_000], [1])), 'older', 'the application came later')
  t.equal(mismatch(only([1], [1, 2]), only([1], [1])), 'newer', 'another instance has a newer package')
  t.equal(mismatch(only([1], [1]), only([1], [1])), undefined)
  // The application has a later migration than any of the service, whose own come afterwards all the same.
  await db.execute(sql`insert into drizzle.rowkeeper_migrations (hash, created_at) values ('later', 9000000000000)`)
  await db.execute(sql.raw('drop table row_counts, drizzle.rowkeeper_system_migrations'))
  await t.rejects(migrate(db), { message: /is newer than this version/ }, 'the application of this repository is not')
  t.same(await db.execute(sql`select * from row_counts`), [])
  await db.execute(sql`delete from drizzle.rowkeeper_migrations where hash = 'later'`)
})

t.test('a column that the database lacks is told, with the remedy (issue 21)', async (t) => {
  const { db, readinessProblem } = await open(t)
  const columns = ['title', 'create_digest', "it's"].map((column) => ['tasks', column] as const)
  await db.execute(sql`alter table tasks drop column create_digest`)
  t.equal(
    await readinessProblem(['tasks'], columns),
    "The database lacks tasks.create_digest, tasks.it's: run npx rowkeeper generate, and then npx rowkeeper migrate."
  )
  t.equal(await readinessProblem(['tasks'], columns.slice(0, 1)), undefined)
})
