import { is } from 'drizzle-orm'
import { PgSelectBase } from 'drizzle-orm/pg-core'
import postgres from 'postgres'

export type Client = postgres.Sql

const prototype = Object.getPrototypeOf(postgres({ max: 1 }).unsafe('')) as object

// postgres.js sends a statement whose plan went stale (a migration changed a type of it) once more, behind those that were sent
// meanwhile; from then on it takes their answers for each other's, and a user is answered the row of another. Before it does it
// sets this member: here the statement fails instead, and whoever sent it sends it again (`pooled` in src/db/pool.ts). The version is pinned for it.
Object.defineProperty(prototype, 'retried', {
  set(this: { cancelled: unknown; reject(error: unknown): void }, error: unknown) {
    this.cancelled = true
    this.reject(error)
  }
})

/** What postgres.js makes of a statement, as far as it is used here; `state` is null until it is sent. */
interface Query {
  state: object | null
  strings: string[]
  args: unknown[]
  parameters: unknown[]
  cancelled: unknown
  handler(query: Query): void
  cancel(): void
  reject(error: unknown): void
}

// `simple` is what the driver takes a statement without values for.
const PREPARED = { prepare: true, simple: false }

/** How often statements that wait for a connection are looked at, and how often in vain. */
const LOOK_MS = 100
const LOOKS = 10

/**
 * postgres.js, without its own retry of stale statements, and without its endless queue: a statement that waited for a
 * connection for a second is not sent any more, since nobody may be there to be told of it, and fails with 57014. (A request
 * has 4.7 s.) Looks are counted, not milliseconds: a process that was held up finds its connections first.
 */
export function open(options: postgres.Options<Record<string, never>>, url?: string): Client {
  const client = url === undefined ? postgres(options) : postgres(url, options)
  const unsafe = client.unsafe.bind(client)
  let pool: Query['handler'] | undefined
  let waiting: { query: Query; looks: number }[] = []

  const look = () => {
    waiting = waiting.filter((one) => {
      const { query } = one
      if (query.state !== null || one.looks++ < LOOKS) return query.state === null
      // The driver's own words would not be known as those of a query.
      query.reject(
        Object.assign(new Error('No connection was free in time'), { code: '57014', query: query.strings[0] })
      )
      query.cancel()
      // One that a new connection was to begin with is not in the queue: the connection begins with nothing instead.
      Object.assign(query, { cancelled: null, strings: [''], args: [[]], parameters: [] })
      return false
    })
    if (waiting.length > 0) setTimeout(look, LOOK_MS)
  }
  function gate(query: Query) {
    pool?.(query)
    if (query.state !== null) return
    if (waiting.push({ query, looks: 0 }) === 1) setTimeout(look, LOOK_MS)
  }
  // All that is sent comes through here, `begin` included; the rest of a transaction has its connection.
  client.unsafe = ((text: string, values: unknown[] = [], options?: postgres.UnsafeQueryOptions) => {
    // Values that are given to it get types, for which the driver puts a key together and hashes it, text and all, for each
    // statement. Without, PostgreSQL says what types they have, as for any that has been prepared.
    const prepared = options?.prepare === true
    const made = prepared ? unsafe(text, [], PREPARED) : unsafe(text, values as never[], options)
    const query = made as unknown as Query
    if (prepared) query.parameters = values
    pool ??= query.handler
    query.handler = gate
    return made
  }) as typeof client.unsafe
  return client
}

/** Whether a statement of Drizzle's only reads: a `select`, which has no side effect unless it calls a function with one. */
export const isRead = (statement: object) => is(statement, PgSelectBase)
