import { getTableName, sql } from 'drizzle-orm'
import pino from 'pino'
import postgres from 'postgres'
import t from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { FeedStore } from '../../../src/changes/feed.ts'
import { type Connection, connect } from '../../../src/db/connect.ts'
import { ownedBy } from '../../../src/db/owned.ts'
import { exportUser, ownedTables, purgeUser } from '../../../src/db/user-data.ts'
import { databaseUrl, newUser, testConfig } from '../../support/app.ts'
import { folder, start } from '../../support/program.ts'
import { taskStore } from '../../support/tasks.ts'

const EXPORT = 'src/commands/user-export.js'
const PURGE = 'src/commands/user-purge.js'

interface Line {
  table: string
  row: { user_id: string; title?: string }
}

/** What a purge deletes of a user who owns nothing. A resource that is added has a table here too. */
const NONE = Object.fromEntries(ownedTables.map((table) => [getTableName(table), 0]))

const linesOf = (text: string): Line[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))

async function all(connection: Connection, user: Owner): Promise<Line[]> {
  let text = ''
  await exportUser(connection, user, async (lines) => {
    text += lines
  })
  return linesOf(text)
}

/** Two users with a task each. */
async function fill({ db, prepare }: Connection) {
  const users = [newUser('alice'), newUser('bob')] as Owner[]
  const store = taskStore((table) => ownedBy(prepare, table))
  for (const user of users) await store.create(user, { title: 'Two\nlines and a "quotation"' })
  return { users: users as [Owner, Owner], db }
}

for (const DATABASE_RLS of ['false', 'true']) {
  t.test(`DATABASE_RLS=${DATABASE_RLS}: a user leaves with all they own, and nobody else's`, async (t) => {
    const { database } = await testConfig({ DATABASE_RLS, DATABASE_POOL_MAX: '1' })
    const connection = await connect(database, pino({ level: 'silent' }))
    t.teardown(connection.close)
    const { users } = await fill(connection)
    const [alice, bob] = users
    for (const user of users) {
      await connection.db.execute(sql`begin`)
      await connection.db.execute(sql`select set_config('rowkeeper.owner', ${user}, true)`)
      // More than are fetched at once.
      await connection.db.execute(sql`insert into tasks (user_id, id, title)
        select ${user}, gen_random_uuid(), 'Task ' || n from generate_series(1, 1200) n where ${user} = ${alice}`)
      await connection.db.execute(
        sql`insert into idempotency_keys (user_id, key, digest, json) values (${user}, 'k', 'd', '{}')`
      )
      await connection.db.execute(sql`commit`)
    }

    const before = await all(connection, bob)
    t.equal(before.length, 2)
    const hers = await all(connection, alice)
    t.same([...new Set(hers.map(({ table }) => table))], ['tasks', 'idempotency_keys'])
    t.same([...new Set(hers.map(({ row }) => row.user_id))], [alice])
    t.equal(new Set(hers.map(({ row }) => row.title)).size, 1202)
    const kept = { user_id: alice, title: 'Two\nlines and a "quotation"', completed: false, version: 1 }
    t.match(
      hers.find(({ row }) => row.title === kept.title),
      { table: 'tasks', row: kept }
    )

    t.same(await purgeUser(connection, alice), { ...NONE, tasks: 1201, idempotency_keys: 1 })
    t.same(await all(connection, alice), [])
    t.same(await all(connection, bob), before)
    t.same(await purgeUser(connection, alice), NONE)
  })
}

t.test(
  'a purge waits for a write that is under way, and takes its record too',
  { skip: process.env.TEST_DATABASE_URL === undefined && 'the embedded engine has one session' },
  async (t) => {
    const { database } = await testConfig({ DATABASE_POOL_MAX: '1' })
    const connection = await connect(database, pino({ level: 'silent' }))
    t.teardown(connection.close)
    const { users } = await fill(connection)
    const [alice] = users
    await new FeedStore((table) => ownedBy(connection.prepare, table)).open(alice)
    const other = postgres(await databaseUrl(), { max: 1 })
    t.teardown(() => other.end())
    await other`begin`
    await other`update tasks set version = 2 where user_id = ${alice}`
    const purged = purgeUser(connection, alice)
    const waits = () => other`
      select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    while ((await waits()).length === 0);
    await other`select record_change(user_id, 'tasks', id, version, 'updated') from tasks where user_id = ${alice}`
    await other`commit`
    t.same(await purged, { ...NONE, changes: 1, feeds: 1, tasks: 1 })
  }
)

t.test('nothing is purged when a part of it cannot be, nor by a command that may not know all of it', async (t) => {
  const { database } = await testConfig({ DATABASE_POOL_MAX: '1' })
  const connection = await connect(database, pino({ level: 'silent' }))
  t.teardown(connection.close)
  const { users, db } = await fill(connection)
  const [alice] = users
  ownedTables.push(Object.assign(Object.create(ownedTables[0] ?? null), { userId: { name: 'nothing' } }))
  await t.rejects(purgeUser(connection, alice), { code: '42703' })
  ownedTables.pop()
  t.equal((await all(connection, alice)).length, 1)
  const shift = (by: number) =>
    db.execute(sql`update drizzle.rowkeeper_migrations set created_at = created_at - ${by}::int
      where created_at = (select max(created_at) from drizzle.rowkeeper_migrations)`)
  await shift(1)
  await t.rejects(purgeUser(connection, alice), { message: /is older than/ })
  await shift(-1)
})

t.test('the commands', async (t) => {
  const { database } = await testConfig({ DATABASE_POOL_MAX: '1' })
  const connection = await connect(database, pino({ level: 'silent' }))
  const { users } = await fill(connection)
  await connection.close()
  const [alice] = users
  const command = (file: string, args: string[]) =>
    databaseUrl().then(
      (DATABASE_URL) => start(t, file, folder(t), { NODE_ENV: 'production', DATABASE_URL }, args).ended
    )

  t.match(await command(PURGE, ['--sub', alice, '--confirm', 'bob']), { code: 1, output: /^Failed: Usage: .* twice/ })
  t.match(await command(EXPORT, []), { code: 1, output: /^Failed: Usage: npm run user:export/ })
  const { code, output } = await command(EXPORT, ['--sub', alice])
  t.equal(code, 0)
  t.match(linesOf(output), [{ table: 'tasks', row: { user_id: alice } }])
  const purged = await command(PURGE, ['--sub', alice, '--confirm', alice])
  t.equal(purged.code, 0)
  const printed = ownedTables.map(getTableName).map((name) => `${name}: ${name === 'tasks' ? 1 : 0} deleted\n`)
  t.equal(purged.output, printed.join(''))
})
