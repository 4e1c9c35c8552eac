import { sql } from 'drizzle-orm'
import pino from 'pino'
import t from 'tap'
import { connect } from '../../../src/db/connect.ts'
import { migrate } from '../../../src/db/migrate.ts'
import { testConfig } from '../../helper.ts'

t.test('a schema of another version is told, and is none to start with', async (t) => {
  const { database } = await testConfig({ DATABASE_POOL_MAX: '1' })
  const { db, fault, close } = await connect(database, pino({ level: 'silent' }))
  t.teardown(close)
  const later = sql`insert into drizzle.__drizzle_migrations (hash, created_at) values ('later', 9000000000000)`
  const without = sql`delete from drizzle.__drizzle_migrations where hash = 'later'`

  await db.execute(later)
  t.match(await fault(['tasks']), /^The schema of the database is newer .* run the version that migrated it/)
  await t.rejects(migrate(db), { message: /is newer than this version/ })

  await db.execute(without)
  t.equal(await fault(['tasks']), undefined)
  await migrate(db)

  await db.execute(later)
  t.equal(await fault(['tasks']), undefined, 'whoever runs already goes on while a later version is rolled out')
  await db.execute(without)

  await db.execute(sql`update drizzle.__drizzle_migrations set created_at = created_at - 1`)
  t.match(await fault(['tasks']), /^The schema of the database is older .* run npm run db:migrate/)
  await db.execute(sql`update drizzle.__drizzle_migrations set created_at = created_at + 1`)
})
