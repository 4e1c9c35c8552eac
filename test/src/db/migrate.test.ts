import { sql } from 'drizzle-orm'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import pino from 'pino'
import t from 'tap'
import { openClient } from '../../../src/db/client.ts'
import { MIGRATIONS, migrate, mismatch, versionsOf } from '../../../src/db/migrate.ts'
import { testConfig } from '../../support/app.ts'

t.test('a schema of another version is told, and is none to start with', async (t) => {
  const { database } = await testConfig({ DATABASE_POOL_MAX: '1' })
  const { db, readinessProblem, close } = await openClient(database, pino({ level: 'silent' }))
  t.teardown(close)
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
  t.match(await readinessProblem(['tasks']), /^The schema of the database is older .* run npm run db:migrate/)
  await shift('max', 1)
  await shift('min', -1)
  t.match(
    await readinessProblem(['tasks']),
    /lacks a migration although a later one was applied: generate it anew/,
    'issue 16'
  )
  await t.rejects(migrate(db), { message: /lacks a migration/ })
  await shift('min', 1)
  t.equal(mismatch([], [1]), 'older', 'without any')
})

const another = sql`insert into drizzle.__drizzle_migrations (hash, created_at) values ('another', 9000000000000)`
const ofDrizzle = sql`create table drizzle.__drizzle_migrations (id serial primary key, hash text, created_at bigint)`

t.test('a database that was migrated before the service had a record of its own gets one (issue 16)', async (t) => {
  const { database } = await testConfig({ DATABASE_POOL_MAX: '1' })
  const { db, readinessProblem, close } = await openClient(database, pino({ level: 'silent' }))
  t.teardown(close)
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
  t.equal(old?.rows, versionsOf(MIGRATIONS).length + 1, 'and the old one stays for those who read it')
})

t.test(
  'a database that another application of Drizzle migrated later is migrated all the same (issue 16)',
  async (t) => {
    const { database } = await testConfig({ DATABASE_POOL_MAX: '1' })
    const { db, readinessProblem, close } = await openClient(database, pino({ level: 'silent' }))
    t.teardown(close)
    await db.execute(sql.raw('drop schema public, drizzle cascade; create schema public; create schema drizzle'))
    await db.execute(ofDrizzle)
    await db.execute(another)
    await migrate(db)
    t.equal(await readinessProblem(['tasks']), undefined)
    t.same(await db.execute(sql`select * from tasks`), [])
  }
)
