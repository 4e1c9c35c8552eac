import { getTableName, sql } from 'drizzle-orm'
import pino from 'pino'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { FeedStore } from '../../../src/changes/feed.ts'
import { type Client, openClient } from '../../../src/db/client.ts'
import { openDatabase } from '../../../src/db/open.ts'
import { ownedBy } from '../../../src/db/owned.ts'
import { exportUser, purgeUser } from '../../../src/db/user-data.ts'
import { databaseUrl, newUser, testConfig } from '../../support/app.ts'
import { ownedTables } from '../../support/owned-tables.ts'
import { folder, start } from '../../support/program.ts'
import { taskStore } from '../../support/tasks.ts'

const EXPORT = 'export'
const PURGE = 'purge'

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

async function all(client: Client, user: Owner): Promise<Line[]> {
  let text = ''
  await exportUser(client, user, ownedTables, async (lines) => {
    text += lines
  })
  return linesOf(text)
}

const silent = pino({ level: 'silent' })

/** Makes two users with a task each. `feed` opens the feed of the first. */
async function fill(env: Record<string, string> = {}, feed = false): Promise<[Owner, Owner]> {
  // The embedded engine has one session, so the service's ends before the command's begins.
  const { prepare, close } = await openDatabase((await testConfig(env)).database, silent)
  const users = [newUser('alice'), newUser('bob')] as [Owner, Owner]
  const store = taskStore((table) => ownedBy(prepare, table))
  for (const user of users) await store.create(user, { title: 'Two\nlines and a "quotation"' })
  if (feed) await new FeedStore((table) => ownedBy(prepare, table)).open(users[0])
  await close()
  return users
}

async function openFor(t: Test, env: Record<string, string> = {}): Promise<Client> {
  const client = await openClient((await testConfig(env)).database, silent)
  t.teardown(() => client.close())
  return client
}

for (const DATABASE_RLS of ['false', 'true']) {
  t.test(`DATABASE_RLS=${DATABASE_RLS}: a user leaves with all they own, and nobody else's`, async (t) => {
    const users = await fill({ DATABASE_RLS })
    const [alice, bob] = users
    const client = await openFor(t, { DATABASE_RLS })
    const { db } = client
    for (const user of users) {
      await db.execute(sql`begin`)
      await db.execute(sql`select set_config('rowkeeper.owner', ${user}, true)`)
      // More than are fetched at once.
      await db.execute(sql`insert into tasks (user_id, id, title)
        select ${user}, gen_random_uuid(), 'Task ' || n from generate_series(1, 1200) n where ${user} = ${alice}`)
      await db.execute(sql`insert into idempotency_keys (user_id, key, digest, json) values (${user}, 'k', 'd', '{}')`)
      await db.execute(sql`commit`)
    }

    const before = await all(client, bob)
    t.equal(before.length, 2)
    const hers = await all(client, alice)
    t.same([...new Set(hers.map(({ table }) => table))], ['tasks', 'idempotency_keys'])
    t.same([...new Set(hers.map(({ row }) => row.user_id))], [alice])
    t.equal(new Set(hers.map(({ row }) => row.title)).size, 1202)
    const kept = { user_id: alice, title: 'Two\nlines and a "quotation"', completed: false, version: 1 }
    t.match(
      hers.find(({ row }) => row.title === kept.title),
      { table: 'tasks', row: kept }
    )

    t.same(await purgeUser(client, alice, ownedTables), { ...NONE, tasks: 1201, idempotency_keys: 1 })
    t.same(await all(client, alice), [])
    t.same(await all(client, bob), before)
    t.same(await purgeUser(client, alice, ownedTables), NONE)
  })
}

t.test(
  'a purge waits for a write that is under way, and takes its record too',
  { skip: process.env.TEST_DATABASE_URL === undefined && 'the embedded engine has one session' },
  async (t) => {
    const [alice] = await fill({}, true)
    const client = await openFor(t)
    const other = postgres(await databaseUrl(), { max: 1 })
    t.teardown(() => other.end())
    await other`begin`
    await other`update tasks set version = 2 where user_id = ${alice}`
    const purged = purgeUser(client, alice, ownedTables)
    const waits = async () => {
      // A transaction looks at the sessions once.
      await other`select pg_stat_clear_snapshot()`
      return other`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    }
    while ((await waits()).length === 0);
    await other`select record_change(user_id, 'tasks', id, version, 'updated') from tasks where user_id = ${alice}`
    await other`commit`
    t.same(await purged, { ...NONE, changes: 1, feeds: 1, tasks: 1 })
  }
)

t.test('nothing is purged when a part of it cannot be, nor by a command that may not know all of it', async (t) => {
  const [alice] = await fill()
  const client = await openFor(t)
  ownedTables.push(Object.assign(Object.create(ownedTables[0] ?? null), { userId: { name: 'nothing' } }))
  await t.rejects(purgeUser(client, alice, ownedTables), { code: '42703' })
  ownedTables.pop()
  t.equal((await all(client, alice)).length, 1)
  const shift = (by: number) =>
    client.db.execute(sql`update drizzle.rowkeeper_migrations set created_at = created_at - ${by}::int
      where created_at = (select max(created_at) from drizzle.rowkeeper_migrations)`)
  await shift(1)
  await t.rejects(purgeUser(client, alice, ownedTables), { message: /is older than/ })
  await shift(-1)
})

t.test('the commands', async (t) => {
  const [alice] = await fill()
  const command = (name: string, args: string[]) =>
    databaseUrl().then(
      (DATABASE_URL) =>
        start(t, 'src/commands/main.js', folder(t), { NODE_ENV: 'production', DATABASE_URL }, [name, ...args]).ended
    )

  t.match(await command(PURGE, ['--sub', alice, '--confirm', 'bob']), {
    code: 1,
    output: /^rowkeeper purge needs --sub USER --confirm USER, the same twice/
  })
  t.match(await command(EXPORT, []), { code: 1, output: /^rowkeeper export needs --sub USER/ })
  const { code, output } = await command(EXPORT, ['--sub', alice])
  t.equal(code, 0)
  t.match(linesOf(output), [{ table: 'tasks', row: { user_id: alice } }])
  const purged = await command(PURGE, ['--sub', alice, '--confirm', alice])
  t.equal(purged.code, 0)
  const printed = ownedTables.map(getTableName).map((name) => `${name}: ${name === 'tasks' ? 1 : 0} deleted\n`)
  t.equal(purged.output, printed.join(''))
})
