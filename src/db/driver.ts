import postgres from 'postgres'

type Types = Record<string, postgres.PostgresType>

export type Client = postgres.Sql & {
  /**
   * Sends a prepared statement, at once if there is a connection, and resolves with its rows: the values of each, in order.
   *
   * @param bytes whether values are wanted as the bytes of their text
   */
  send(text: string, parameters?: unknown[], bytes?: boolean): Promise<unknown[][]>
}

/** What postgres.js makes of a statement, as far as it is used here; `state` is null until it is sent. */
interface Query {
  state: object | null
  strings: string[]
  args: unknown[]
  parameters?: unknown[]
  cancelled: unknown
  reject(error: unknown): void
}

// Of the driver's own statements in a transaction; see `retried` below.
Object.defineProperty(Object.getPrototypeOf(postgres({ max: 1 }).unsafe('')), 'retried', {
  set(this: Query, error: unknown) {
    this.cancelled = true
    this.reject(error)
  }
})

/**
 * A prepared statement, with the members that postgres.js looks for in one of its own. Its own is a promise that closures over
 * itself resolve: V8's quick collections leave each that was sent behind, with its rows, and the slow ones that must come then cost a
 * page of 50 up to half as much again (docs/performance.md). And its own gives each value a type, for which a key is put together and
 * hashed, text and all; here PostgreSQL says what types they have. The version is pinned for all that.
 */
class Prepared implements Query {
  strings: string[]
  parameters: unknown[]
  resolve: (rows: unknown[][]) => void
  reject: (error: unknown) => void
  args: unknown[] = []
  // `simple` is what the driver takes a statement without values for.
  options = { prepare: true, simple: false }
  isRaw: true | 'values'
  state: object | null = null
  statement: object | null = null
  cancelled: unknown = null
  // What the driver writes into it, so that all have one shape.
  active = false
  prepare = true
  prepared = false
  describeFirst = false
  parsing = false
  string = ''
  signature = ''
  // Of where it was made, for the stack of an error.
  origin = ''

  constructor(
    text: string,
    parameters: unknown[],
    bytes: boolean,
    resolve: (rows: unknown[][]) => void,
    reject: (error: unknown) => void
  ) {
    this.strings = [text]
    this.parameters = parameters
    this.isRaw = bytes || 'values'
    this.resolve = resolve
    this.reject = reject
  }

  // postgres.js sends a statement whose plan went stale (a migration changed a type of it) once more, behind those that were sent
  // meanwhile; from then on it takes their answers for each other's, and a user is answered the row of another. Before it does it
  // sets this member: here the statement fails instead, and whoever sent it sends it again (`pooled` in src/db/pool.ts).
  set retried(error: unknown) {
    this.cancelled = true
    this.reject(error)
  }
}

/** How often statements that wait for a connection are looked at, and how often in vain. */
const LOOK_MS = 100
const LOOKS = 10

/**
 * postgres.js, without its own retry of stale statements, and without its endless queue: a statement that waited for a
 * connection for a second is not sent any more, since nobody may be there to be told of it, and fails with 57014. (A request
 * has 4.7 s.) Looks are counted, not milliseconds: a process that was held up finds its connections first.
 */
export function open(options: postgres.Options<Types>, url?: string): Client {
  const client = url === undefined ? postgres(options) : postgres(url, options)
  const unsafe = client.unsafe.bind(client)
  // How the driver takes its statements in and gives them up, of one that is never sent.
  const { handler: pool, canceller } = unsafe('') as unknown as Record<'handler' | 'canceller', (query: Query) => void>
  let waiting: { query: Query; looks: number }[] = []

  const look = () => {
    waiting = waiting.filter((one) => {
      const { query } = one
      if (query.state !== null || one.looks++ < LOOKS) return query.state === null
      // The driver's own words would not be known as those of a query.
      query.reject(
        Object.assign(new Error('No connection was free in time'), { code: '57014', query: query.strings[0] })
      )
      canceller(query)
      // One that a new connection was to begin with is not in the queue: the connection begins with nothing instead.
      Object.assign(query, { cancelled: null, strings: [''], args: [[]], parameters: [] })
      return false
    })
    if (waiting.length > 0) setTimeout(look, LOOK_MS)
  }
  function handler(query: Query) {
    pool(query)
    if (query.state !== null) return
    if (waiting.push({ query, looks: 0 }) === 1) setTimeout(look, LOOK_MS)
  }
  return Object.assign(client, {
    // All else that is sent comes through here, `begin` included; the rest of a transaction has its connection.
    unsafe: ((...args: Parameters<typeof unsafe>) => Object.assign(unsafe(...args), { handler })) as typeof unsafe,
    send: (text: string, parameters: unknown[] = [], bytes = false) =>
      new Promise<unknown[][]>((resolve, reject) => {
        handler(new Prepared(text, parameters, bytes, resolve, reject))
      })
  })
}
