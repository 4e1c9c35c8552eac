import { sql } from 'drizzle-orm'
import type { Distribution } from './distribution.ts'
import type { SendOn } from './pool.ts'
import { OWNER } from './statement.ts'

/** Gives a role what the service does: it reads and writes rows, and reads the record of the migrations. */
export const grantsTo = (role: string): string => `
  grant select, insert, update, delete on all tables in schema public to ${role};
  grant usage on schema drizzle to ${role};
  grant select on all tables in schema drizzle to ${role};`

/**
 * The role of the embedded database with row-level security. On a server it is a role of the operator's, which
 * `DATABASE_URL` connects as: one that owns no table, so that the policies bind it.
 */
export const ROW_SECURITY_ROLE = `
  do $$ begin create role rowkeeper nologin; exception when duplicate_object then null; end $$;
  ${grantsTo('rowkeeper')}
  set role rowkeeper`

/**
 * The owner of a statement, named to the policies of `src/db/tables.ts`. An insert has it as the value of `user_id`:
 * PostgreSQL checks the policy when it has computed the row. `true` ends it with the transaction, and a statement that
 * is sent alone is a transaction of its own. So no statement finds the owner of another.
 */
export const NAMED_OWNER = sql`set_config('rowkeeper.owner', ${sql.placeholder(OWNER)}, true)`

/**
 * The condition by which every other statement names its owner. It holds no column, so PostgreSQL evaluates it once,
 * before it looks for rows. It costs nothing, so PostgreSQL evaluates it before the conditions of the policies
 * (docs/row-level-security.md). If PostgreSQL did it later, the policies would hide all rows.
 * `test/src/db/row-security-plans.slow.test.ts` looks at the plans.
 */
export const OWNER_IS_NAMED = sql`(select ${NAMED_OWNER}) is not null`

/**
 * What sends a statement for its owner. Where the owner must be named before it (`Distribution`), it is sent in a
 * transaction that begins with the name. The four are sent at once and answered at once: one round trip.
 */
export function sendNamed(distribution: Distribution): SendOn {
  const named: SendOn = async (connection, owner, ...statement) => {
    const send = connection.pipeline()
    const [, , rows] = await Promise.all([
      send('begin'),
      send(`select ${distribution.nameOwner}`, [owner]),
      send(...statement),
      send('commit')
    ])
    return rows
  }
  return (connection, owner, ...statement) =>
    distribution.namesFirst ? named(connection, owner, ...statement) : connection.send(...statement)
}
