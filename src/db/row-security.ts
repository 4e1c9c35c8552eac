import type { Owner } from '../auth/user.ts'
import type { Connection } from './connection.ts'

/** Sends a statement for an owner on a connection, before it returns. */
export type SendOn = (
  connection: Connection,
  owner: Owner,
  text: string,
  parameters: unknown[],
  bytes: boolean
) => Promise<unknown[][]>

/** Without row-level security every statement names its owner itself. */
export const sendPlainly: SendOn = (connection, _owner, text, parameters, bytes) =>
  connection.send(text, parameters, bytes)

/**
 * The role of the embedded database with row-level security. On a server it is a role of the operator's, which
 * `DATABASE_URL` connects as: one that owns no table, so that the policies bind it.
 */
export const ROW_SECURITY_ROLE = `
  do $$ begin create role rowkeeper nologin; exception when duplicate_object then null; end $$;
  grant select, insert, update, delete on all tables in schema public to rowkeeper;
  grant usage on schema drizzle to rowkeeper;
  grant select on all tables in schema drizzle to rowkeeper;
  set role rowkeeper`

// The policies of src/db/tables.ts read it; with `true` it ends with the transaction.
const NAME_OWNER = "select set_config('rowkeeper.owner', $1, true)"

/**
 * Row-level security: each statement is sent in a transaction that first names its owner to the
 * policies, so a statement whose filter was forgotten still reaches nobody else's rows. The four go out at once and are
 * answered at once: one round trip. The connection keeps the four in order, and together: they are sent, or fail.
 */
export const sendWithRowSecurity: SendOn = async (connection, owner, text, parameters, bytes) => {
  const send = connection.pipeline()
  const [, , rows] = await Promise.all([
    send('begin'),
    send(NAME_OWNER, [owner]),
    send(text, parameters, bytes),
    send('commit')
  ])
  return rows
}
