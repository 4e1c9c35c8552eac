import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eq, getTableColumns, getTableName, sql } from 'drizzle-orm'
import { pgTable, text } from 'drizzle-orm/pg-core'
import Fastify from 'fastify'
import pino from 'pino'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import database from '../../../plugins/database.ts'
import type { Owner } from '../../../src/auth/user.ts'
import { FeedStore } from '../../../src/changes/feed.ts'
import { classify } from '../../../src/db/errors.ts'
import { openDatabase } from '../../../src/db/open.ts'
import { type OwnedBy, ownedBy } from '../../../src/db/owned.ts'
import { tasks as table } from '../../../src/db/schema.ts'
import { changes, feeds } from '../../../src/db/system-tables.ts'
import { LockNotAvailable } from '../../../src/db/transaction.ts'
import { contractSuite } from '../../contract/contract.ts'
import { build, databaseUrl, newUser, testConfig } from '../../support/app.ts'
import samples from '../../support/samples.ts'
import { sessionOf } from '../../support/session.ts'
import { watchStatements } from '../../support/statements.ts'
import { taskStore, tasksResource } from '../../support/tasks.ts'
import { TEMPLATE } from '../../support/template.ts'

const RLS = { DATABASE_RLS: 'true' }

const ownedTableNamed = (name: string) => pgTable(name, { userId: text('user_id') })

const silent = pino({ level: 'silent' })
const owner = (name: string) => newUser(name) as Owner

async function open(t: { teardown(close: () => Promise<void>): void }, env: Record<string, string>) {
  const { database } = await testConfig(env)
  const connection = await openDatabase(database, silent)
  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= connection.close()
    return closed
  }
  t.teardown(close)
  return {
    ...connection,
    ...sessionOf(connection),
    close,
    store: taskStore((table) => ownedBy(connection.prepare, table))
  }
}

t.test('with row-level security the service does what it does without', async (t) => {
  contractSuite(t, tasksResource, { env: RLS, runs: 20 })
  contractSuite(t, samples, { env: RLS, runs: 20 })
})

t.test(
  'with row-level security a statement whose filter was forgotten returns nothing and changes nothing',
  async (t) => {
    const { prepare, store } = await open(t, RLS)
    const [alice, mallory] = [owner('alice'), owner('mallory')]
    const secret = await store.create(alice, { title: 'secret' })

    const { title } = getTableColumns(table)
    const select = prepare((db) => ({ statement: db.select({ title }).from(table), fields: { title } }))
    const update = prepare((db) => ({
      statement: db.update(table).set({ title: 'taken' }).returning({ title }),
      fields: { title }
    }))
    const remove = prepare((db) => ({ statement: db.delete(table).returning({ title }), fields: { title } }))
    for (const [name, forgetful] of Object.entries({ select, update, remove })) {
      t.same(await forgetful(mallory, {}), [], `${name}: nothing of alice`)
    }
    t.same(await store.get(alice, secret.id), secret)

    const insert = prepare((db) => ({
      statement: db
        .insert(table)
        .values({ userId: sql.placeholder('for'), id: sql`gen_random_uuid()`, title: 'planted' }),
      fields: {}
    }))
    await t.rejects(insert(mallory, { for: alice }), { code: '42501' }, 'nothing is put among what alice has')
    const own = await store.create(mallory, { title: 'own' })
    const give = prepare((db) => ({
      statement: db
        .update(table)
        .set({ userId: sql`${sql.placeholder('for')}` })
        .where(eq(table.id, own.id)),
      fields: {}
    }))
    await t.rejects(give(mallory, { for: alice }), { code: '42501' }, 'nor given to her')
    t.equal((await store.list(alice, { limit: 10 })).json.toString(), `[${secret.json}]`)

    t.same(await select(mallory, {}), [{ title: 'own' }], 'and its own is still there')
  }
)

t.test("with row-level security a feed and its changes are its owner's alone", async (t) => {
  const { prepare } = await open(t, { ...RLS, DATABASE_POOL_MAX: '1' })
  const owned: OwnedBy = (table, options) => ownedBy(prepare, table, options?.recorded)
  const [alice, mallory] = [owner('alice'), owner('mallory')]
  await new FeedStore(owned).open(alice)
  await taskStore(owned).create(alice, { title: 'x' })
  for (const log of [feeds, changes]) {
    const name = getTableName(log)
    const { userId } = log
    const forgetful = prepare((db) => ({ statement: db.select({ userId }).from(log), fields: { userId } }))
    t.same(await forgetful(mallory, {}), [], name)
    t.same(await forgetful(alice, {}), [{ userId: alice }], name)
    const change = prepare((db) => ({
      statement: db.update(log).set({ seq: 1 }).returning({ userId }),
      fields: { userId }
    }))
    t.same(await change(mallory, {}), [], name)
    const give = prepare((db) => ({ statement: db.update(log).set({ userId: mallory }), fields: {} }))
    await t.rejects(give(alice, {}), { code: '42501' }, name)
    const remove = prepare((db) => ({ statement: db.delete(log).returning({ userId }), fields: { userId } }))
    t.same(await remove(mallory, {}), [], name)
  }
})

t.test('with row-level security a statement is one transaction, and a failed one leaves nothing behind', async (t) => {
  const { prepare, store } = await open(t, { ...RLS, DATABASE_POOL_MAX: '1' })
  const [alice, bob] = [owner('alice'), owner('bob')]
  const sent: string[] = []
  const stop = watchStatements(({ text }) => {
    // A new connection begins with an empty statement.
    if (text !== '') sent.push(text.split(' ').slice(0, 2).join(' '))
  })
  const broken = prepare((db) => {
    const fields = { title: sql`1 / ${sql.placeholder('n')}::int` }
    return { statement: db.select(fields).from(table), fields }
  })
  await store.create(alice, { title: 'x' })
  await t.rejects(broken(alice, { n: 0 }), { code: '22012' })
  // The answer to the statement is there before the end of its transaction is sent, since it was new to the connection.
  await store.list(alice, { limit: 1 })
  stop()
  t.same(sent.slice(0, 8), [
    'begin',
    "select set_config('rowkeeper.owner',",
    'insert into',
    'commit',
    'begin',
    "select set_config('rowkeeper.owner',",
    'select 1',
    'commit'
  ])

  const runs = Array.from({ length: 200 }, async (_, n) => {
    const user = n % 2 === 0 ? alice : bob
    if (n % 10 === 9) return t.rejects(broken(alice, { n: 0 }))
    const { id } = await store.create(user, { title: user })
    t.match(JSON.parse((await store.get(user, id))?.json ?? ''), { title: user })
    t.equal(await store.get(user === alice ? bob : alice, id), undefined)
    return undefined
  })
  await Promise.all(runs)
})

t.test('with row-level security a lost connection is an error, and never an answer for nobody', async (t) => {
  if (process.env.TEST_DATABASE_URL === undefined) return
  const { store } = await open(t, { ...RLS, DATABASE_POOL_MAX: '1' })
  const admin = postgres(await databaseUrl('owner'), { max: 1 })
  t.teardown(() => admin.end())
  const alice = owner('alice')
  const own = await store.create(alice, { title: 'own' })
  const created = new Set<string>()
  let failed = 0
  for (let round = 0; round < 10; round++) {
    // More than the driver sends before it holds back, so that a transaction is cut in two.
    const asked = Array.from({ length: 120 }, async (_, i) => {
      try {
        if (i % 3 === 0) created.add((await store.create(alice, { title: 'x'.repeat(200) })).id)
        else if (i % 3 === 1) t.ok(await store.get(alice, own.id), 'her own task is there')
        else t.not((await store.list(alice)).json.toString(), '[]', 'so is her list')
      } catch (error) {
        failed++
        t.equal(classify(error), 'unavailable')
      }
    })
    const kill = admin`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'rowkeeper'`
    await Promise.all([...asked, kill])
  }
  t.comment(`${created.size} created, ${failed} failed`)
  const kept = await admin<{ id: string }[]>`select id from tasks where user_id = ${alice}`
  const ids = new Set(kept.map(({ id }) => id))
  t.ok(
    [...created].every((id) => ids.has(id)),
    'nothing that was acknowledged is lost'
  )
})

t.test('what is at work already on another instance is not begun', async (t) => {
  const { transaction, ...session } = await open(t, { DATABASE_POOL_MAX: '1' })
  // The embedded database has one session, which would get every lock. This function stands for a lock that is taken.
  await session.send('create schema if not exists busy')
  await session.send(`create or replace function busy.pg_try_advisory_xact_lock(bigint) returns boolean
    language sql as 'select false'`)
  await session.send('set search_path = busy, pg_catalog, public')
  const alice = owner('alice')
  let begun = 0
  const work = async () => void begun++
  t.type(await transaction(alice, work, { lockKey: 'key' }).catch((error) => error), LockNotAvailable)
  t.equal(begun, 0)
})

t.test('the embedded database has the wall too, each time it is opened', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'rowkeeper-wall-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  cpSync(TEMPLATE, join(folder, 'pg'), { recursive: true })
  for (let i = 0; i < 2; i++) {
    const { readinessProblem, store, close, send, listen } = await open(t, {
      ...RLS,
      DATABASE_URL: `pglite://${join(folder, 'pg')}`
    })
    t.equal(await readinessProblem(['tasks']), undefined)
    const alice = owner('alice')
    const { id, json } = await store.create(alice, { title: 'x' })
    t.match(await store.get(alice, id), { json })
    const heard: string[] = []
    await listen(
      (key) => heard.push(key),
      () => heard.push('from now on')
    )
    await send("select pg_notify('rowkeeper', 'key')")
    t.same(heard, ['from now on', 'key'])
    await close()
  }
})

t.test('readiness reports row-level security that does not bind the role, and one that nobody asked for', async (t) => {
  const names = ['tasks']
  const restricted = await open(t, RLS)
  t.equal(await restricted.readinessProblem(names), undefined)
  t.equal(await restricted.readinessProblem([]), undefined)
  await t.rejects(restricted.readinessProblem(['nothing']), { code: '42P01' })
  t.match(await restricted.readinessProblem(['pg_authid']), /may not read and write "pg_authid"/)
  // A process has one embedded database, which has one session.
  await restricted.close()

  // With the embedded database the session chooses its role. With a server the URL does.
  const embedded = process.env.TEST_DATABASE_URL === undefined
  const fault = async (env: Record<string, string>, role: string) => {
    const connection = await open(t, { DATABASE_POOL_MAX: '1', ...env })
    if (embedded) await connection.send(role)
    const told = await connection.readinessProblem(names)
    await connection.close()
    return told
  }
  const [owning, bound] = [await databaseUrl('owner'), await databaseUrl('restricted')]
  t.match(await fault({ ...RLS, DATABASE_URL: owning }, 'reset role'), /^DATABASE_RLS is true, but .* role postgres/)
  t.match(await fault({ DATABASE_URL: bound }, 'set role rowkeeper'), /^DATABASE_RLS is not set, but .* set it to true/)
  t.equal(await fault({ DATABASE_URL: owning }, 'reset role'), undefined)
})

t.test(
  'readiness tells of each right that the role lacks',
  { skip: process.env.TEST_DATABASE_URL !== undefined },
  async (t) => {
    const rights = ['select', 'insert', 'update', 'delete']
    const { send, readinessProblem, close } = await open(t, { DATABASE_POOL_MAX: '1', DATABASE_RLS: 'true' })
    for (const lacking of rights) {
      await send('reset role')
      const granted = rights.filter((right) => right !== lacking).join()
      await send(`create role without_${lacking}`)
      await send(`grant usage on schema drizzle to without_${lacking}`)
      await send(`grant ${granted} on tasks to without_${lacking}`)
      await send(`set role without_${lacking}`)
      t.match(await readinessProblem(['tasks']), /may not read and write "tasks"/, lacking)
    }
    await send('reset role')
    await close()
  }
)

/** Starts the database plugin alone, for a table of that name. */
async function startFor(t: Test, table: string): Promise<void> {
  const app = Fastify({ pluginTimeout: 60_000 })
  t.teardown(() => app.close())
  app.decorate('config', await testConfig(RLS))
  await app.register(database, { tables: [ownedTableNamed(table)] })
  await app.ready()
}

t.test('row-level security that is asked for and does not bind the role refuses to start', async (t) => {
  await t.rejects(startFor(t, 'pg_authid'), /may not read and write/)
})

t.test('a fault of ours at the start is told, not waited for', async (t) => {
  await t.rejects(startFor(t, 'a"b'), { code: '42602' })
})

t.test(
  'a database that is not migrated yet is none to start with, an absent one is waited for (issue 16)',
  async (t) => {
    await t.rejects(startFor(t, 'not_migrated'), {
      message: /^The database that DATABASE_URL names has not the tables of the service: run npm run db:migrate/
    })
    const absent = await build(t, { ...RLS, DATABASE_URL: 'postgres://u:p@127.0.0.1:1/none' })
    t.match((await absent.inject('/health/ready')).json(), { status: 503, code: 'unavailable' })
  }
)
