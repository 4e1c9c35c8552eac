import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { and, eq, getTableColumns, getTableName, sql } from 'drizzle-orm'
import { pgTable, text } from 'drizzle-orm/pg-core'
import Fastify from 'fastify'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import database, { READINESS_MS } from '../../../plugins/database.ts'
import type { Owner } from '../../../src/auth/user.ts'
import { FeedStore } from '../../../src/changes/feed.ts'
import { classify } from '../../../src/db/errors.ts'
import { type OwnedBy, ownedBy } from '../../../src/db/owned.ts'
import { NAMED_OWNER, OWNER_IS_NAMED } from '../../../src/db/row-security.ts'
import { tasks as table } from '../../../src/db/schema.ts'
import { changes, feeds } from '../../../src/db/system-tables.ts'
import { LockNotAvailable } from '../../../src/db/transaction.ts'
import { watchStatements } from '../../contract/statements.ts'
import { build, databaseUrl, newUser, testConfig } from '../../support/app.ts'
import { proxyTo } from '../../support/proxy.ts'
import { openSession } from '../../support/session.ts'
import { taskStore } from '../../support/tasks.ts'
import { TEMPLATE } from '../../support/template.ts'
import { holdInterval } from '../../support/timers.ts'

const RLS = { DATABASE_RLS: 'true' }

const ownedTableNamed = (name: string) => pgTable(name, { userId: text('user_id') })

const owner = (name: string) => newUser(name) as Owner

t.test(
  'with row-level security a statement whose filter was forgotten returns nothing and changes nothing',
  async (t) => {
    const { prepare, store, send } = await openSession(t, RLS)
    // Each of these statements names its owner, as all statements of the service do. Their filter was forgotten.
    const named = OWNER_IS_NAMED
    const [alice, mallory] = [owner('alice'), owner('mallory')]
    const { isNew: _new, ...secret } = await store.create(alice, { title: 'secret' })

    const { title } = getTableColumns(table)
    const select = prepare((db) => ({ statement: db.select({ title }).from(table).where(named), fields: { title } }))
    const update = prepare((db) => ({
      statement: db.update(table).set({ title: 'taken' }).where(named).returning({ title }),
      fields: { title }
    }))
    const remove = prepare((db) => ({
      statement: db.delete(table).where(named).returning({ title }),
      fields: { title }
    }))
    for (const [name, forgetful] of Object.entries({ select, update, remove })) {
      t.same(await forgetful(mallory, {}), [], `${name}: nothing of alice`)
    }
    t.same(await store.get(alice, secret.id), secret)

    // The title names mallory, so the policy refuses a row of alice's.
    const insert = prepare((db) => ({
      statement: db
        .insert(table)
        .values({ userId: sql.placeholder('for'), id: sql`gen_random_uuid()`, title: NAMED_OWNER }),
      fields: {}
    }))
    await t.rejects(insert(mallory, { for: alice }), { code: '42501' }, 'nothing is put among what alice has')
    const own = await store.create(mallory, { title: 'own' })
    const give = prepare((db) => ({
      statement: db
        .update(table)
        .set({ userId: sql`${sql.placeholder('for')}` })
        .where(and(named, eq(table.id, own.id))),
      fields: {}
    }))
    await t.rejects(give(mallory, { for: alice }), { code: '42501' }, 'nor given to her')
    t.equal((await store.list(alice, { limit: 10 })).json.toString(), `[${secret.json}]`)

    t.same(await select(mallory, {}), [{ title: 'own' }], 'and its own is still there')
    t.same(await send('select title from tasks'), [], 'for nobody there is nothing at all')
    t.same(await send("update tasks set title = 'taken' returning title"), [], 'nor anything to change')
    t.same(await send('delete from tasks returning title'), [])
    t.match(await store.get(mallory, own.id), { id: own.id })
  }
)

t.test("with row-level security a feed and its changes are its owner's alone", async (t) => {
  const { prepare } = await openSession(t, { ...RLS, DATABASE_POOL_MAX: '1' })
  const owned: OwnedBy = (table, options) => ownedBy(prepare, table, options?.recorded)
  const [alice, mallory] = [owner('alice'), owner('mallory')]
  await new FeedStore(owned).open(alice)
  await taskStore(owned).create(alice, { title: 'x' })
  for (const log of [feeds, changes]) {
    const name = getTableName(log)
    const { userId } = log
    const forgetful = prepare((db) => ({
      statement: db.select({ userId }).from(log).where(OWNER_IS_NAMED),
      fields: { userId }
    }))
    t.same(await forgetful(mallory, {}), [], name)
    t.same(await forgetful(alice, {}), [{ userId: alice }], name)
    const change = prepare((db) => ({
      statement: db.update(log).set({ seq: 1 }).where(OWNER_IS_NAMED).returning({ userId }),
      fields: { userId }
    }))
    t.same(await change(mallory, {}), [], name)
    const give = prepare((db) => ({
      statement: db.update(log).set({ userId: mallory }).where(OWNER_IS_NAMED),
      fields: {}
    }))
    await t.rejects(give(alice, {}), { code: '42501' }, name)
    const remove = prepare((db) => ({
      statement: db.delete(log).where(OWNER_IS_NAMED).returning({ userId }),
      fields: { userId }
    }))
    t.same(await remove(mallory, {}), [], name)
  }
})

t.test('with row-level security a statement names its owner, and the name ends with it', async (t) => {
  const { prepare, transaction, store } = await openSession(t, { ...RLS, DATABASE_POOL_MAX: '1' })
  const [alice, bob] = [owner('alice'), owner('bob')]
  const sent: string[] = []
  const stop = watchStatements(({ text }) => {
    // A new connection begins with an empty statement.
    if (text !== '') sent.push(text)
  })
  const broken = ownedBy(prepare, table).prepare((own) => own.select({ n: sql`1 / ${sql.placeholder('n')}::int` }))
  const fields = { name: sql<string | null>`current_setting('rowkeeper.owner', true)` }
  const nobody = prepare<{ name: string | null }[]>((db) => ({
    statement: db.select(fields).from(sql`(values (1)) as one`),
    fields
  }))
  const named = async () => (await nobody(alice))[0]?.name || 'nobody'
  t.equal(await named(), 'nobody', 'a new connection has no owner')
  await store.create(alice, { title: 'x' })
  t.equal(await named(), 'nobody')
  await t.rejects(broken(alice, { n: 0 }), { code: '22012' })
  t.equal(await named(), 'nobody', 'nor after an error')
  await t.rejects(
    transaction(alice, async (transaction) => {
      t.equal((await nobody(alice, {}, transaction))[0]?.name, alice)
      t.equal(await store.get(alice, 'ffffffff-ffff-ffff-ffff-ffffffffffff', transaction), undefined)
      await broken(alice, { n: 0 }, transaction)
    }),
    { code: '22012' }
  )
  t.equal(await named(), 'nobody', 'nor after a transaction')
  stop()
  t.same(
    sent.filter((text) => !text.includes("current_setting('rowkeeper.owner'")).map((text) => text.split(' ')[0]),
    ['insert', 'select', 'begin', 'select', 'select', 'select', 'rollback'],
    'each is one statement'
  )

  const runs = Array.from({ length: 200 }, async (_, n) => {
    const user = n % 2 === 0 ? alice : bob
    if (n % 10 === 9) return t.rejects(broken(alice, { n: 0 }))
    const { id } = await store.create(user, { title: user })
    const [own, foreign, name] = await Promise.all([
      store.get(user, id),
      store.get(user === alice ? bob : alice, id),
      named()
    ])
    t.match(JSON.parse(own?.json ?? ''), { title: user })
    t.equal(foreign, undefined)
    t.equal(name, 'nobody')
    return undefined
  })
  await Promise.all(runs)
})

t.test('with row-level security a write that waited for another one goes on with what that left', async (t) => {
  if (process.env.TEST_DATABASE_URL === undefined) return
  const { store } = await openSession(t, { ...RLS, DATABASE_POOL_MAX: '3' })
  const admin = postgres(await databaseUrl('owner'), { max: 1 })
  t.teardown(() => admin.end())
  const alice = owner('alice')
  for (const statement of ['update', 'remove'] as const) {
    const { id } = await store.create(alice, { title: 'x' })
    const waiting = await admin.begin(async (other) => {
      await other`update tasks set version = 7 where user_id = ${alice} and id = ${id}`
      const done = statement === 'update' ? store.update(alice, id, { title: 'y' }) : store.remove(alice, id)
      const waits = async () => {
        // A transaction looks at the sessions once.
        await other`select pg_stat_clear_snapshot()`
        const sessions = await other`
          select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
        return sessions.count
      }
      while ((await waits()) === 0) await new Promise((resolve) => setTimeout(resolve, 10))
      return { done }
    })
    t.match(await waiting.done, statement === 'update' ? { version: 8 } : true)
  }
})

t.test('with row-level security a lost connection is an error, and never an answer for nobody', async (t) => {
  if (process.env.TEST_DATABASE_URL === undefined) return
  const { store } = await openSession(t, { ...RLS, DATABASE_POOL_MAX: '1' })
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
  const { transaction, ...session } = await openSession(t, { DATABASE_POOL_MAX: '1' })
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
    const { readinessProblem, store, close, send, listen } = await openSession(t, {
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
  const restricted = await openSession(t, RLS)
  t.equal(await restricted.readinessProblem(names), undefined)
  t.equal(await restricted.readinessProblem([]), undefined)
  await t.rejects(restricted.readinessProblem(['nothing']), { code: '42P01' })
  t.match(await restricted.readinessProblem(['pg_authid']), /may not read and write "pg_authid"/)
  // A process has one embedded database, which has one session.
  await restricted.close()

  // With the embedded database the session chooses its role. With a server the URL does.
  const embedded = process.env.TEST_DATABASE_URL === undefined
  const fault = async (env: Record<string, string>, role: string) => {
    const connection = await openSession(t, { DATABASE_POOL_MAX: '1', ...env })
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
    const { send, readinessProblem, close } = await openSession(t, { DATABASE_POOL_MAX: '1', DATABASE_RLS: 'true' })
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
      message: /^The database lacks a table of the service or of your schema: run npx rowkeeper migrate\./
    })
    const absent = await build(t, { ...RLS, DATABASE_URL: 'postgres://u:p@127.0.0.1:1/none' })
    t.match((await absent.inject('/health/ready')).json(), { status: 503, code: 'unavailable' })
  }
)

t.test('a database that is absent at the start is asked again, by the service itself (issue 19)', async (t) => {
  const askAgain = holdInterval(t, READINESS_MS)
  const to = await proxyTo(t, 'owner')
  to.close()
  const arrived = to.next()
  const starting = build(t, { DATABASE_URL: to.url, DATABASE_POOL_MAX: '1' })
  await arrived
  const next = to.next()
  to.cut()
  const app = await starting
  // The first time it is still not there.
  askAgain()
  await next
  to.cut()
  await t.rejects(app.isDatabaseReady())
  to.open()
  askAgain()
  t.equal(await app.isDatabaseReady(), true)
  await app.close()
})
