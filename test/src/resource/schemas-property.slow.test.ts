import { getTableName, sql } from 'drizzle-orm'
import fc from 'fast-check'
import pino from 'pino'
import t, { type Test } from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { type Client, openClient } from '../../../src/db/client.ts'
import type { OwnedTable } from '../../../src/db/owned.ts'
import { ownedTablesOf } from '../../../src/db/owned-tables.ts'
import * as schema from '../../../src/db/schema.ts'
import { exportUser, purgeUser } from '../../../src/db/user-data.ts'
import { mount } from '../../contract/mount.ts'
import { violation } from '../../contract/statements.ts'
import { History } from '../../schemas/history.ts'
import { type Gen, type Made, make, shapesOf } from '../../schemas/shape.ts'
import { build, newUser, testConfig } from '../../support/app.ts'
import { createTables } from '../../support/create-tables.ts'

/** `SCHEMAS=100 SEED=7 node dist/test/src/resource/schemas-property.slow.test.js` takes so many, and others. */
const { SCHEMAS = '14', SEED = '20261129' } = process.env
/** So many are served by one application, because each start takes time. */
const AT_ONCE = 7
const REQUESTS = 60
/** Of the six answers by which an operation can be refused, so many are among those of several schemas. */
const LEAST_CODES = 4

/** A schema that was generated, with what makes its random history. */
interface Generated {
  gen: Gen
  made: Made[]
  /** Says which one failed. */
  name: string
}

const schemas = fc.sample(fc.gen(), { numRuns: Number(SCHEMAS), seed: Number(SEED) }).map((gen, i): Generated => {
  const shapes = shapesOf(gen)
  const name = `schema ${i + 1} of the seed ${SEED}: ${JSON.stringify(shapes)}`
  return { gen, made: make(shapes, `schema${i}`), name }
})

const clientOf = async (env: Record<string, string> = {}) =>
  openClient((await testConfig(env)).database, pino({ level: 'silent' }))

async function withClient<R>(work: (client: Client) => Promise<R>, env?: Record<string, string>): Promise<R> {
  const client = await clientOf(env)
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}

async function linesOf(client: Client, owner: Owner, tables: OwnedTable[]): Promise<string[]> {
  const lines: string[] = []
  await exportUser(client, owner, tables, async (more) => void lines.push(...more.split('\n').slice(0, -1)))
  return lines
}

/** Inserts what an export wrote, table by table in its order. */
const insertLines = (client: Client, owner: Owner, lines: string[]) =>
  client.sql.begin(async (sql) => {
    await sql`select set_config('rowkeeper.owner', ${owner}, true)`
    const rows = new Map<string, unknown[]>()
    for (const line of lines) {
      const { table, row } = JSON.parse(line)
      rows.set(table, [...(rows.get(table) ?? []), row])
    }
    for (const [table, all] of rows) {
      const json = JSON.stringify(all)
      await sql`insert into ${sql(table)} select * from json_populate_recordset(null::${sql(table)}, ${json}::text::json)`
    }
  })

async function serveAll(t: Test, generated: Generated[], env: Record<string, string>): Promise<void> {
  const made = generated.flatMap((one) => one.made)
  const tables = made.map(({ table }) => table)
  const named = Object.fromEntries(tables.map((table) => [getTableName(table), table]))
  await withClient(({ db }) => createTables(db, named))
  for (const name of Object.keys(named)) {
    t.match(violation({ text: `select id from "${name}"`, parameters: [] }, [], tables), /not bound to an owner/)
  }
  const app = await build(
    t,
    { RATE_LIMIT_MAX: 'off', ...env },
    async (app) => {
      for (const { resource } of made) await mount(app, resource)
    },
    { ...schema, ...named }
  )
  const users = [newUser('alice'), newUser('bob')] as [Owner, Owner]
  const [alice, bob] = users
  const counts: Record<string, number> = {}
  const codes = new Set<string>()
  for (const { gen, made, name } of generated) {
    const history = new History(gen, made, users, (options) => app.inject(options))
    try {
      for (let i = 0; i < REQUESTS; i++) await history.step()
      for (const user of users) await history.check(user)
    } catch (error) {
      throw new Error(`${name}\n${(error as Error).message}`, { cause: error })
    }
    made.forEach(({ table }, i) => {
      counts[getTableName(table)] = history.worlds.get(alice)?.[i]?.size ?? 0
    })
    for (const code of history.codes) codes.add(code.replace(/^schema.*_not_found$/, 'not_found'))
  }
  await app.close()
  t.ok(codes.size >= LEAST_CODES, `refused: ${[...codes].join(', ')}`)

  await withClient(async (client) => {
    const all = ownedTablesOf(named)
    // The rows of a table have no order, and PostgreSQL may read them in another one after it cleaned up.
    const before = (await linesOf(client, bob, all)).sort()
    t.ok(before.length > generated.length)
    const hers = await linesOf(client, alice, all)
    const { row_counts, ...deleted } = await purgeUser(client, alice, all)
    t.same(deleted, { ...counts, idempotency_keys: 0, feeds: 0, changes: 0 }, 'all of hers is gone')
    t.same(await linesOf(client, alice, all), [])
    t.same((await linesOf(client, bob, all)).sort(), before, 'all of his is there')
    await insertLines(client, alice, hers)
    t.same((await linesOf(client, alice, all)).sort(), hers.sort(), 'what was exported can be inserted in its order')
  }, env)
  await withClient(({ db }) => db.execute(sql.raw(`drop table ${Object.keys(named).join()}`)))
}

for (let at = 0; at < schemas.length; at += AT_ONCE) {
  const some = schemas.slice(at, at + AT_ONCE)
  const DATABASE_RLS = String((at / AT_ONCE) % 2 === 1)
  t.test(`DATABASE_RLS=${DATABASE_RLS}: schemas ${at + 1} to ${at + some.length} keep what they declare`, (t) =>
    serveAll(t, some, { DATABASE_RLS })
  )
}
