import t from 'tap'
import { violation } from './statements.ts'

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
    `insert into "tasks" ("id", "user_id") values (set_config('rowkeeper.owner', $1, true), $1)`
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
    'select 1'
  ]) {
    t.equal(violation({ text, parameters: ['alice', 'bob', 'x'] }, ['alice']), undefined, text)
  }
  t.equal(violation({ text: 'CREATE TABLE "tasks" ()', parameters: [] }, []), undefined, 'a migration')
})
