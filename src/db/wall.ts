import { drizzle } from 'drizzle-orm/postgres-js'
import type { Owner } from '../auth/user.ts'
import type { Prepare } from './connect.ts'
import { again, type Client, isRead } from './driver.ts'
import { type Transact, transact } from './transaction.ts'

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
function wall(client: Client) {
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
    /** Statements that were sent and not answered yet. */
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

    /** Runs a statement of Drizzle's for `who`. A prepared one is sent before `run` returns; any other would be for nobody. */
    async as<R>(who: Owner, run: () => Promise<R>): Promise<R> {
      this.pending++
      try {
        owner = who
        const answer = run()
        owner = undefined
        return await answer
      } finally {
        this.pending--
      }
    }
  }
}

/** `Prepare` (`src/db/connect.ts`) and `Transact` (`src/db/transaction.ts`) behind the wall: each run takes the connection with the least to do. */
export function walled(clients: readonly Client[]): { prepare: Prepare; transaction: Transact } {
  const walls = clients.map(wall)
  const idlest = <T extends { wall: (typeof walls)[number] }>(all: readonly T[]) =>
    all.reduce((a, b) => (b.wall.pending < a.wall.pending ? b : a))
  const plain = walls.map((wall, i) => ({ wall, db: drizzle({ client: clients[i] as Client }) }))
  return {
    prepare: (name, build) => {
      const built = walls.map((wall) => ({ wall, statement: build(wall.db) }))
      const statements = built.map(({ wall, statement }) => ({ wall, prepared: statement.prepare(name) }))
      const read = built.every(({ statement }) => isRead(statement))
      return (owner, values) =>
        again(
          clients.length,
          () => {
            const { wall, prepared } = idlest(statements)
            return wall.as(owner, () => prepared.execute(values))
          },
          read
        )
    },
    transaction: (owner, work, alone) =>
      again(clients.length, async () => {
        const { wall, db } = idlest(plain)
        wall.pending++
        try {
          return await transact(db, owner, work, alone)
        } finally {
          wall.pending--
        }
      })
  }
}
