import t from 'tap'
import { ownedTablesOf } from '../../src/db/owned-tables.ts'
import * as schema from '../../src/db/schema.ts'
import { type Statement, violation as violationOf } from '../contract/statements.ts'

const TABLES = ownedTablesOf(schema)
const violation = (statement: Statement, callers: string[]) => violationOf(statement, callers, TABLES)

/** The insert that counts its row (`src/db/room.ts`), in its parts. */
const COUNTED = {
  update: 'update "row_counts" set "at_most" = "row_counts"."at_most" + 1 where',
  own: '("row_counts"."user_id" = $1 and ("row_counts"."resource" = \'tasks\') and ("row_counts"."at_most" < $3))',
  into: 'insert into "tasks" ("user_id", "id", "title")',
  row: "select $1, $3::uuid, coalesce($3::text, (lower('x')))",
  from: 'from room on conflict ("user_id", "id") do nothing returning "id"'
}
const counted = (parts: Partial<typeof COUNTED> = {}) => {
  const { update, own, into, row, from } = { ...COUNTED, ...parts }
  return `with room as (${update} ${own} returning 1) ${into} ${row} ${from}`
}
const named = (number: number, local = 'true') => `set_config('rowkeeper.owner', $${number}, ${local})`
const NAMED_COUNT = COUNTED.own.replace(' and', ` and ((select ${named(1)}) is not null) and`)

/** Forms of it of which a part is not bound to the caller, or which insert more than one row. */
const MISCOUNTED = [
  { own: COUNTED.own.replace('$1', '$2') },
  { own: COUNTED.own.replace('= $1', '<> $1') },
  { own: '"row_counts"."resource" = \'tasks\'' },
  { own: `${COUNTED.own} or true` },
  { own: COUNTED.own.replace(') and', ' or true) and').replace('$1 and', '$1 or true and') },
  { update: COUNTED.update.replace('where', ', "user_id" = $2 where') },
  { update: 'delete from "row_counts" where true or' },
  { into: 'insert into "tasks" ("id", "user_id", "title")' },
  { row: COUNTED.row.replace('$1', '$2') },
  { row: COUNTED.row.replace('$1', "'alice'") },
  { row: COUNTED.row.replace('$1', "$1 || 'x'") },
  { row: COUNTED.row.replace('$1', '($2)') },
  { row: COUNTED.row.replace('$1', '(select "user_id" from "tasks" limit 1)') },
  { row: COUNTED.row.replace('$3::uuid', '(select "id" from "tasks" limit 1)') },
  { row: COUNTED.row.replace('$1', named(2)) },
  { row: COUNTED.row.replace('$1', named(1, 'false')) },
  { from: 'from "tasks"' },
  { from: 'from rooms' },
  { from: 'from room, generate_series(1, 2)' },
  { from: 'from room cross join generate_series(1, 2)' },
  { from: 'from room union all select $2, $3::uuid, $3 from room' },
  { from: 'from room on conflict ("user_id", "id") do update set "title" = $3' },
  { from: 'from room on conflict ("id") do update set "user_id" = $2 returning "id"' },
  { row: 'select $2, $3 union select $1, $3::uuid, $3' },
  { row: 'select $1, $3::uuid, $3 from "tasks" union all select $1, $3, $3' },
  { row: 'values ($1, $3), ($2, $3)', from: '' },
  { own: COUNTED.own.replace('$1', '$2'), row: COUNTED.row.replace('$1', '$2') }
].map(counted)

// The suite fails if the service sends one of these: each reads or writes rows of another user, or of every user.
t.test('a statement that is not bound to its caller is a violation', async (t) => {
  for (const text of [
    'select "title" from "tasks"',
    'select "title" from "tasks" where "tasks"."id" = $1',
    'select "title" from tasks where user_id = $1',
    'select "title" from "tasks" where ("tasks"."id" = $2 and "tasks"."user_id" = $1)',
    'select "title" from "tasks" where "tasks"."user_id" <> $1',
    'select "title" from "tasks" where "tasks"."user_id" = $2',
    'select "title" from "tasks" where "tasks"."user_id" = \'alice\'',
    'select "title" from "tasks" where "tasks"."user_id" = $1 or true',
    'select "title" from "tasks" where ("tasks"."user_id" = $1 or true)',
    'select "title" from "tasks" where ("tasks"."user_id" = $1 and "tasks"."id" = $2 or true)',
    'select "title" from "tasks" where ("tasks"."user_id" = $1 and ("tasks"."id" = $2)) or true',
    'select (select count(*) from "tasks") from "tasks" where "tasks"."user_id" = $1',
    'select "title" from "tasks" "other", "tasks" where "tasks"."user_id" = $1',
    'update "tasks" set "title" = $2 returning "id"',
    'update "tasks" set "title" = $2 where "tasks"."id" = $1',
    'update "tasks" set "user_id" = $2 where "tasks"."user_id" = $1',
    'delete from "tasks" where "tasks"."id" = $1',
    'delete from "tasks"',
    'delete from "tasks" using "tasks" where "tasks"."user_id" = $1',
    'truncate "tasks"',
    'delete from "changes" where "changes"."created_at" < now() and ctid = any(array(select ctid from "changes"))',
    'insert into "tasks" ("user_id", "id") values ($2, $1)',
    'insert into "tasks" ("id", "user_id") values ($1, $2)',
    'insert into "tasks" ("user_id", "id") values ($1, $3), ($2, $3)',
    'insert into "tasks" ("user_id", "id") values (\'alice\', $1)',
    'copy tasks to stdout',
    'create table leak as select * from tasks',
    'insert into "tasks" ("user_id", "id") values ($1 || \'x\', $2)',
    'insert into "tasks" ("user_id", "id") values ($1, $3),($2, $3)',
    'insert into "tasks" ("user_id", "id") values ($1, gen_random_uuid()), ($2, $3)',
    'insert into "tasks" ("user_id", "id") values ($1, $3) on conflict ("id") do update set "title" = \'x\'',
    'update "tasks" set user_id = $2 where "tasks"."user_id" = $1',
    'update "tasks" set ("user_id", "title") = ($2, $3) where "tasks"."user_id" = $1',
    'update "tasks" set "title" = \' where "tasks"."user_id" = $1 returning \'',
    'select "title" from "tasks" where ("tasks"."user_id" = $1 and (\'(\') or (true) and (\')\'))',
    'select "title" from "tasks" where "tasks"."user_id" = $1; delete from "tasks"',
    'select "title" from "tasks" --',
    "select set_config('rowkeeper.owner', $1, true), set_config('rowkeeper.owner', 'bob', true)",
    "set rowkeeper.owner = 'bob'",
    "select set_config('rowkeeper.owner', $2, true)",
    "select set_config('rowkeeper.owner', $1, true)",
    'select rowkeeper_name_owner($2)',
    "select rowkeeper_name_owner('bob')",
    "select set_config('rowkeeper.owner', $2, true), pg_try_advisory_xact_lock(hashtextextended($3, 0)) as free",
    `select "title" from "tasks" where ((select set_config('rowkeeper.owner', $1, true)) is not null)`,
    `select "title" from "tasks" where ("tasks"."user_id" = $1 and ((select set_config('rowkeeper.owner', $2, true)) is not null))`,
    `select "title" from "tasks" where ("tasks"."user_id" = $2 and ((select set_config('rowkeeper.owner', $1, true)) is not null))`,
    `select "title" from "tasks" where ("tasks"."user_id" = $1 and ((select set_config('rowkeeper.owner', $1, false)) is not null))`,
    `insert into "tasks" ("user_id", "id") values (set_config('rowkeeper.owner', $2, true), $1)`,
    `insert into "tasks" ("user_id", "id") values (set_config('rowkeeper.owner', $1, false), $1)`,
    `insert into "tasks" ("id", "user_id") values (set_config('rowkeeper.owner', $1, true), $1)`,
    ...MISCOUNTED
  ]) {
    const parameters = ['alice', 'bob', 'x']
    t.type(violation({ text, parameters }, ['alice']), 'string', text)
  }
  t.match(
    violation({ text: 'select "title" from "tasks"', parameters: [] }, ['alice']),
    /^its WHERE is not bound to an owner: select "title" from "tasks"\nSend it through app\.owned \(src\/db\/owned\.ts\)/,
    'the message names the problem, and says how to write a statement that passes'
  )
  t.match(violation({ text: 'select from "tasks" where "tasks"."user_id" = $1', parameters: ['alice'] }, []), /alice/)
})

t.test('a statement that is bound to its caller is no violation', async (t) => {
  for (const text of [
    'select "title" from "tasks" where "tasks"."user_id" = $1',
    'select "title" from "tasks" where "tasks"."user_id" = $1 order by "tasks"."id" desc limit $2',
    'select "title" from "tasks" where ("tasks"."user_id" = $1 and ("tasks"."id" = $2)) limit $3',
    'select sum(n) from (select 1 n from "tasks" where ("tasks"."user_id" = $1 and ("tasks"."id" = $2 or ($3)))) "page"',
    'update "tasks" set "title" = $2 where ("tasks"."user_id" = $1 and ("tasks"."id" = $3)) returning "id"',
    'delete from "tasks" where "tasks"."user_id" = $1 returning "id"',
    'insert into "tasks" ("user_id", "id") values ($1, $2) returning "id"',
    'insert into "tasks" ("user_id", "id") values ($1, $2) on conflict do nothing returning "id"',
    'select exists(select from "feeds" where ("feeds"."user_id" = $1 and ("feeds"."expires_at" > now())))',
    "select set_config('rowkeeper.owner', $1, true), pg_try_advisory_xact_lock(hashtextextended($2, 0)) as free",
    'select rowkeeper_name_owner($1)',
    'select rowkeeper_name_owner($1), pg_try_advisory_xact_lock(hashtextextended($2, 0)) as free',
    `select "title" from "tasks" where ("tasks"."user_id" = $1 and ((select set_config('rowkeeper.owner', $1, true)) is not null))`,
    `insert into "tasks" ("user_id", "id") values (set_config('rowkeeper.owner', $1, true), $2) returning "id"`,
    counted(),
    counted({ from: 'from room' }),
    counted({ from: 'from room returning "id"' }),
    counted({ own: NAMED_COUNT, row: COUNTED.row.replace('$1', named(1)) }),
    'select 1'
  ]) {
    t.equal(violation({ text, parameters: ['alice', 'bob', 'x'] }, ['alice']), undefined, text)
  }
  t.equal(violation({ text: 'CREATE TABLE "tasks" ()', parameters: [] }, []), undefined, 'a migration')
})
