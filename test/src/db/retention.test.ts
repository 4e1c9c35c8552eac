import { randomBytes } from 'node:crypto'
import { sql } from 'drizzle-orm'
import pino from 'pino'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { openDatabase } from '../../../src/db/open.ts'
import { ownedBy } from '../../../src/db/owned.ts'
import { ownedTablesOf } from '../../../src/db/owned-tables.ts'
import { deleteExpired } from '../../../src/db/retention.ts'
import * as schema from '../../../src/db/schema.ts'
import { idempotencyKeys } from '../../../src/db/system-tables.ts'
import { violation, watchStatements } from '../../contract/statements.ts'
import { databaseUrl, newUser, testConfig } from '../../support/app.ts'
import { sessionOf } from '../../support/session.ts'

const SERVER = process.env.TEST_DATABASE_URL !== undefined
const MIB = 2 ** 20
const TABLES = ownedTablesOf(schema)

/** A connection, and functions that store answers of a given age for a user and count them. */
async function open(t: Test, rls = 'false') {
  const { database } = await testConfig({ DATABASE_RLS: rls, DATABASE_POOL_MAX: '1' })
  const connection = await openDatabase(database, pino({ level: 'silent' }))
  t.teardown(() => connection.close())
  const own = ownedBy(connection.prepare, idempotencyKeys)
  const { key } = idempotencyKeys
  const insert = own.prepare((own) =>
    own
      .insert({
        key: sql`gen_random_uuid()::text`,
        digest: 'x',
        json: sql.placeholder('json'),
        createdAt: sql`now() - make_interval(secs => ${sql.placeholder('age')}::int)`
      })
      .returning({ key })
  )
  const find = own.prepare((own) => own.select({ key }))
  const keep = async (owner: Owner, rows: number, age: number, bytes = 0) => {
    // Random digits do not get smaller when PostgreSQL compresses them.
    const json = randomBytes(bytes / 2).toString('hex')
    for (let i = 0; i < rows; i++) await insert(owner, { age, json })
  }
  return { ...sessionOf(connection), keep, count: async (owner: Owner) => (await find(owner)).length }
}

/** How many statements a run sends for a table, each of them one that the auditor knows. */
async function statementsOf(t: Test, table: string, run: () => Promise<void>): Promise<number> {
  let sent = 0
  const stop = watchStatements((statement) => {
    if (statement.text.startsWith(`delete from "${table}"`)) sent++
    t.equal(violation(statement, [], TABLES), undefined)
  })
  await run()
  stop()
  return sent
}

const silent = pino({ level: 'silent' })
const DAY = 86_400

for (const rls of ['false', 'true']) {
  t.test(`issue 15: expired rows are deleted in portions, large ones in smaller (DATABASE_RLS=${rls})`, async (t) => {
    const { send, keep, count } = await open(t, rls)
    const [alice, bob] = [newUser('alice'), newUser('bob')] as [Owner, Owner]
    await deleteExpired(send, silent)
    await keep(alice, 7, DAY + 60, 3 * MIB)
    await keep(alice, 1, DAY - 60, 3 * MIB)
    await keep(bob, 1, DAY + 60)
    const sent = await statementsOf(t, 'idempotency_keys', () => deleteExpired(send, silent))
    t.same([await count(alice), await count(bob)], [1, 0], 'just those whose day is over, whosever they are')
    // Six rows are more than 16 MiB, so they fill a statement. The last statement finds nothing.
    t.equal(sent, 3)
  })
}

t.test('more than a portion has are deleted, and no run is without end', async (t) => {
  const { send, execute, count } = await open(t)
  const alice = newUser('alice') as Owner
  await deleteExpired(send, silent)
  const many = (rows: number) =>
    execute(sql`insert into idempotency_keys (user_id, key, digest, json, created_at)
      select ${alice}, n, '', '', now() - interval '25 hours' from generate_series(1, ${rows}::int) n`)
  await many(2500)
  t.equal(await statementsOf(t, 'idempotency_keys', () => deleteExpired(send, silent)), 4)
  t.equal(await count(alice), 0)
  let runs = 0
  await deleteExpired(async () => [[++runs]], silent)
  t.equal(runs, 3000, 'a thousand portions a table')
})

t.test('issue 15: a table that fails keeps no other from its turn, and is named', async (t) => {
  const { send, execute, keep, count } = await open(t)
  const alice = newUser('alice') as Owner
  await keep(alice, 1, DAY + 60)
  await execute(sql`insert into feeds (user_id, seq, started_by, expires_at) values (${alice}, 1, '1', now())`)
  const lines: unknown[] = []
  const log = Object.assign(pino({ level: 'silent' }), { warn: (line: unknown) => void lines.push(line) })
  await send('alter table idempotency_keys rename to moved')
  await deleteExpired(send, log as typeof silent)
  t.same(lines, [{ table: 'idempotency_keys', code: '42P01' }])
  t.same(await execute(sql`select count(*)::int from feeds where user_id = ${alice}`), [[0]])
  await send('alter table moved rename to idempotency_keys')
  t.equal(await count(alice), 1)
  await deleteExpired(send, log as typeof silent)
  t.equal(await count(alice), 0, 'it has its turn the next time')
  t.equal(lines.length, 1)
})

t.test('two that delete at once do not wait for each other, nor for a user', async (t) => {
  if (!SERVER) return
  for (const rls of ['false', 'true']) {
    const { send, keep, count } = await open(t, rls)
    const alice = newUser('alice') as Owner
    await keep(alice, 3, DAY + 60)
    const other = postgres(await databaseUrl(), { max: 1 })
    t.teardown(() => other.end())
    await other.begin(async (transaction) => {
      await transaction`select from idempotency_keys where user_id = ${alice} limit 1 for update`
      await deleteExpired(send, silent)
      t.equal(await count(alice), 1, 'what is locked is left')
    })
    await deleteExpired(send, silent)
    t.equal(await count(alice), 0)
  }
})

t.test('of tables that Citus distributes, each is deleted from by one statement (issue 19)', async (t) => {
  const sent: string[] = []
  const send = async (text: string) => {
    sent.push(text)
    return [[1]]
  }
  await deleteExpired(send, silent, true)
  t.same(
    sent.map((text) => /^delete from "(\w+)" where (?!.*ctid)/.exec(text)?.[1]),
    ['changes', 'feeds', 'idempotency_keys']
  )
})
