import { sql } from 'drizzle-orm'
import pino from 'pino'
import t from 'tap'
import { openClient } from '../../../src/db/client.ts'
import type { Db } from '../../../src/db/prepare.ts'
import { testConfig } from '../../support/app.ts'
import { functionsIn, parseNodeTree, refusal, type Volatility } from '../../support/citus.ts'
import { preparedTexts } from '../../support/prepared.ts'

/** Why Citus refuses a statement, by the volatility that the functions of this PostgreSQL have. */
async function refusalOf(db: Db, text: string): Promise<string | undefined> {
  const run = async <R extends Record<string, unknown>>(text: string) => [...(await db.execute<R>(sql.raw(text)))]
  await run(`prepare probe as ${text}`)
  const [prepared] = await run<{ types: string }>(
    `select array_to_string(parameter_types, ', ') as types from pg_prepared_statements where name = 'probe'`
  )
  await run('deallocate probe')
  // PostgreSQL keeps the body of such a function as it has parsed it.
  await run('set check_function_bodies = off')
  await run(`create function probe(${prepared?.types}) returns void begin atomic ${text}; end`)
  const [body] = await run<{ tree: string }>(
    `select prosqlbody::text as tree from pg_proc where oid = 'probe'::regproc`
  )
  await run(`drop function probe; reset check_function_bodies`)
  const tree = parseNodeTree(body?.tree ?? '')
  const called = await run<{ oid: string; provolatile: Volatility }>(
    `select oid::text, provolatile from pg_proc where oid = any('{${functionsIn(tree)}}'::oid[])`
  )
  return refusal(tree, new Map(called.map(({ oid, provolatile }) => [oid, provolatile])))
}

t.test('Citus accepts every statement in the form for it', async (t) => {
  const { database } = await testConfig({ DATABASE_POOL_MAX: '1' })
  const { db, close } = await openClient(database, pino({ level: 'silent' }))
  t.teardown(close)
  const texts = preparedTexts({ namesOwner: false, recordsChanges: false })
  t.ok(texts.length > 30, `${texts.length} statements`)
  for (const text of texts) {
    t.notMatch(text, /set_config|record_change/)
    t.equal(await refusalOf(db, text), undefined, text)
  }
  const REFUSED = {
    'update tasks set version = 1 where user_id = $1 returning concat(title)': /^returning/,
    'update tasks set version = 1 where user_id = $1 returning now()': /^returning/,
    'update tasks set version = 1 where user_id = $1 returning created_at::date': /^returning/,
    'insert into tasks (user_id, id, title) values ($1, $2, $3) returning to_json(title)': /^returning/,
    'insert into tasks (user_id, id, title) values ($1, $2, (select $3))': /subselect/,
    'update tasks set updated_at = clock_timestamp() where user_id = $1': /volatile/,
    'update tasks set updated_at = localtimestamp where user_id = $1 and random() > 0.5': /volatile/,
    'delete from tasks where user_id = $1 and random() > 0.5': /volatile/,
    'update feeds set seq = case when expires_at > now() then seq else seq + 1 end where user_id = $1': /^case/,
    'update tasks set updated_at = coalesce(now(), created_at) where user_id = $1': /^case or coalesce/,
    "update tasks set updated_at = created_at + interval '1 day' where user_id = $1": /stable .* column/,
    'update tasks set title = concat(title, $2::text) where user_id = $1': /stable .* column/
  }
  for (const [text, reason] of Object.entries(REFUSED)) t.match(await refusalOf(db, text), reason, text)
})
