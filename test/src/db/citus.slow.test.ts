import { readFileSync } from 'node:fs'
import { getTableName, sql } from 'drizzle-orm'
import pino from 'pino'
import t from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { FeedStore } from '../../../src/changes/feed.ts'
import { openClient } from '../../../src/db/client.ts'
import { openDatabase } from '../../../src/db/open.ts'
import { type OwnedBy, ownedBy } from '../../../src/db/owned.ts'
import { watchStatements } from '../../contract/statements.ts'
import { newUser, testConfig } from '../../support/app.ts'
import { ownedTables } from '../../support/owned-tables.ts'
import { taskStore } from '../../support/tasks.ts'

// The database of this process is prepared for Citus. There is no Citus here: the triggers work as they do there, in
// each table instead of in each shard.
const SCRIPT = 'docs/citus.sql'
process.env.TEST_DATABASE_SCRIPT = SCRIPT

const RLS = { DATABASE_RLS: 'true' }
const NAMES = ownedTables.map(getTableName)

const silent = pino({ level: 'silent' })

for (const [how, env] of Object.entries({ without: {}, with: RLS })) {
  t.test(`where triggers record the changes, each is recorded once, ${how} row-level security`, async (t) => {
    const { database } = await testConfig({ DATABASE_POOL_MAX: '1', ...env })
    const { prepare, transaction, readinessProblem, close } = await openDatabase(database, silent)
    t.teardown(close)
    t.equal(await readinessProblem(NAMES), undefined)
    const owned: OwnedBy = (table, options) => ownedBy(prepare, table, options?.recorded)
    const store = taskStore(owned)
    const feeds = new FeedStore(owned)
    const [alice, bob] = [newUser('alice'), newUser('bob')] as [Owner, Owner]
    await store.create(alice, { title: 'before' })
    const texts: string[] = []
    const stop = watchStatements(({ text }) => texts.push(text))
    const { seq } = await feeds.open(alice)
    const first = await store.create(alice, { title: 'x' })
    await store.create(bob, { title: 'nobody listens' })
    await store.update(alice, first.id, { completed: true })
    const [second] = await transaction(alice, async (transaction) => {
      const created = await Promise.all(['y', 'z'].map((title) => store.create(alice, { title }, transaction)))
      await store.update(alice, first.id, { completed: false }, undefined, transaction)
      return created
    })
    await t.rejects(
      transaction(alice, async (transaction) => {
        await store.remove(alice, first.id, undefined, transaction)
        throw new Error('undone')
      }),
      /undone/
    )
    await store.remove(alice, second?.id ?? '')
    stop()
    t.same(
      (await feeds.after(alice, seq)).map(({ seq: number, resource, kind, version }) => [
        number - seq,
        resource,
        kind,
        version
      ]),
      [
        [1, 'tasks', 'created', 1],
        [2, 'tasks', 'updated', 2],
        [3, 'tasks', 'created', 1],
        [4, 'tasks', 'created', 1],
        [5, 'tasks', 'updated', 3],
        [6, 'tasks', 'deleted', 1]
      ]
    )
    t.same(await feeds.after(bob, 0), [], 'nothing is recorded for somebody to whom nobody listens')
    t.notOk(texts.some((text) => /record_change|set_config\('rowkeeper.owner'.*where/.test(text)))
    t.equal(
      texts.some((text) => text === 'select rowkeeper_name_owner($1)'),
      how === 'with',
      'the owner is named before a statement'
    )
  })
}

t.test('the script names any owner, until the transaction ends', async (t) => {
  const { sql: client, close } = await openClient((await testConfig()).database, silent)
  t.teardown(close)
  const named = async () => (await client`select current_setting('rowkeeper.owner', true) as name`)[0]?.name || 'nobody'
  for (const owner of ['alice', `o'x`, 'o\\x', '%L $1 "x"', "E'x'; reset all --"]) {
    await client`begin`
    await client`select rowkeeper_name_owner(${owner})`
    t.equal(await named(), owner)
    await client`commit`
    t.equal(await named(), 'nobody')
  }
})

t.test('readiness tells of tables that are not all prepared', async (t) => {
  const { db, readinessProblem, close } = await openClient((await testConfig()).database, silent)
  t.teardown(close)
  const run = (text: string) => db.execute(sql.raw(text))
  const script = readFileSync(SCRIPT, 'utf8')
  const problem = async (change: string, undo: string) => {
    await run(change)
    const found = await readinessProblem(NAMES)
    await run(undo)
    t.equal(await readinessProblem(NAMES), undefined)
    return found
  }
  t.match(
    await problem('drop trigger tasks_rowkeeper on tasks', script),
    /trigger is missing on tasks: stop the service and run docs\/citus\.sql/
  )
  t.match(await problem('drop trigger feeds_rowkeeper on feeds', script), /trigger is missing on feeds:/)
  const disabled = ['disable', 'enable'].map((state) => `alter table tasks ${state} trigger tasks_rowkeeper`)
  t.match(await problem(disabled[0] ?? '', disabled[1] ?? ''), /trigger is missing on tasks:/)
  // What Citus has of a table that it distributes.
  await run('create table pg_dist_partition (logicalrelid regclass)')
  t.equal(await readinessProblem(NAMES), undefined, 'none is distributed')
  for (const name of NAMES) await run(`insert into pg_dist_partition values ('${name}')`)
  t.equal(await readinessProblem(NAMES), undefined, 'each is distributed')
  const drop = "delete from pg_dist_partition where logicalrelid = 'changes'::regclass"
  t.match(
    await problem(drop, "insert into pg_dist_partition values ('changes')"),
    /^Citus distributes feeds, idempotency_keys, row_counts, tasks, but not changes: stop the service and run docs\/citus\.sql/
  )
  const without = 'drop trigger tasks_rowkeeper on tasks; drop trigger feeds_rowkeeper on feeds'
  t.match(await problem(without, script), /^Citus distributes the tables, but the trigger is missing on tasks, feeds:/)
  await run('drop table pg_dist_partition')
  await run(script)
})

/** What the script calls of Citus, in words of plain PostgreSQL. */
const CITUS = `
  set allow_system_table_mods = on;
  insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
    values (99999, 'citus', 10, 11, false, '0');
  reset allow_system_table_mods;
  create table pg_dist_partition (logicalrelid regclass, beside text);
  create function create_distributed_table(one regclass, by text, colocate_with text) returns void language sql
    as 'insert into pg_dist_partition values (one, colocate_with)';
  create function create_reference_table(one regclass) returns void language sql
    as 'insert into pg_dist_partition values (one, null)';
  create function create_distributed_function(regprocedure) returns void language sql as 'select';
  create table child (user_id text collate "C", id uuid, version int, parent_id uuid, primary key (user_id, id),
    foreign key (user_id, parent_id) references tasks);
  create table a_child (user_id text collate "C", id uuid, version int, parent_id uuid, primary key (user_id, id),
    foreign key (user_id, parent_id) references child);
  create policy child_owner on child using (true);
  create policy a_child_owner on a_child using (true)`

// The script changes settings of roles, which belong to all databases of a server.
const EMBEDDED = process.env.TEST_DATABASE_URL === undefined
t.test('the script distributes each table beside the others, and does so once', { skip: !EMBEDDED }, async (t) => {
  const { db, readinessProblem, close } = await openClient((await testConfig()).database, silent)
  t.teardown(close)
  const run = async <R extends Record<string, unknown>>(text: string) => [...(await db.execute<R>(sql.raw(text)))]
  const script = readFileSync(SCRIPT, 'utf8')
  await run(CITUS)
  t.match(await readinessProblem(NAMES), undefined)
  for (let i = 0; i < 2; i++) {
    await run(script)
    t.same(await run('select logicalrelid::text as name, beside from pg_dist_partition'), [
      { name: 'changes', beside: 'none' },
      { name: 'feeds', beside: 'changes' },
      { name: 'folders', beside: 'changes' },
      { name: 'idempotency_keys', beside: 'changes' },
      { name: 'papers', beside: 'changes' },
      { name: 'clips', beside: 'changes' },
      { name: 'row_counts', beside: 'changes' },
      { name: 'samples', beside: 'changes' },
      { name: 'tasks', beside: 'changes' },
      { name: 'child', beside: 'changes' },
      { name: 'a_child', beside: 'changes' },
      { name: 'drizzle.rowkeeper_migrations', beside: null },
      { name: 'drizzle.rowkeeper_system_migrations', beside: null }
    ])
    t.equal(await readinessProblem([...NAMES, 'child', 'a_child']), undefined)
  }
  await run(`drop table a_child, child, pg_dist_partition; alter role postgres reset all;
    delete from pg_extension where extname = 'citus'`).catch(() => {})
  await run('drop function create_distributed_table, create_reference_table, create_distributed_function')
})

// The streams of the changes do what they do where the statements record them.
await import('../../routes/events.test.ts')
