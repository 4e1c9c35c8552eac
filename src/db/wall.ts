import { drizzle } from 'drizzle-orm/postgres-js'
import type { Owner } from '../auth/user.ts'
import type { Client } from './driver.ts'
import type { Line } from './pool.ts'

/**
 * The role that the embedded database is used with behind the wall. On a server it is a role of the operator's, which
 * `DATABASE_URL` connects as: one that owns no table, so that the policies bind it.
 */
export const EMBEDDED_ROLE = `
  do $$ begin create role rowkeeper nologin; exception when duplicate_object then null; end $$;
  grant select, insert, update, delete on all tables in schema public to rowkeeper;
  grant usage on schema drizzle to rowkeeper;
  grant select on all tables in schema drizzle to rowkeeper;
  set role rowkeeper`

// The policies of src/db/owned-table.ts read it; with `true` it ends with the transaction.
const NAME_OWNER = "select set_config('rowkeeper.owner', $1, true)"

/**
 * Row-level security, the second wall: each statement is sent in a transaction that first names its owner to the policies, so a
 * statement whose filter was forgotten still reaches nobody else's rows. The four go out at once and are answered at once:
 * one round trip.
 *
 * @param client has one connection only (`max: 1`), which keeps the four together and in order
 */
export function wall(client: Client): Line {
  let owner: Owner | undefined

  // The driver may hold back a part of the four (a statement that is new, a full socket), and sends it on a new connection when
  // this one is lost: without a transaction, for nobody, and answered as if nothing had happened.
  let lost = 0
  client.options.onclose = () => void lost++

  async function send(...queries: { execute(): Promise<unknown> }[]) {
    const before = lost
    const [, , answer] = await Promise.all(queries.map((query) => query.execute()))
    if (lost !== before) throw Object.assign(new Error('The connection was lost'), { code: 'CONNECTION_CLOSED' })
    return answer
  }

  return {
    client,
    pending: 0,
    // Drizzle needs no more of a client than this to run prepared statements.
    db: drizzle({
      client: {
        options: client.options,
        unsafe(text: string, parameters: [], options: object) {
          if (owner === undefined) throw new Error(`No owner was named for: ${text}`)
          const statement = client.unsafe(text, parameters, options)
          const answer = send(
            client.unsafe('begin'),
            client.unsafe(NAME_OWNER, [owner], { prepare: true }),
            statement,
            client.unsafe('commit')
          )
          // It leaves when this turn is over: until then Drizzle can ask for rows as arrays.
          const values = () => {
            statement.values()
            return answer
          }
          return Object.assign(answer, { values })
        }
      } as unknown as Client
    }),

    as(who, prepared, values) {
      owner = who
      const answer = prepared.execute(values)
      owner = undefined
      return answer
    }
  }
}
