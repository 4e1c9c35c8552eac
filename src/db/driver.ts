import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { isBroken } from './errors.ts'

type Types = Record<string, postgres.PostgresType>

export type Client = postgres.Sql & {
  /**
   * Sends a prepared statement, at once if there is a connection, and resolves with its rows: the values of each, in order.
   *
   * @param bytes whether values are wanted as the bytes of their text
   */
  send: Send
  /** A `send` for statements that belong together: when the first was sent, so are the others, however long they wait. */
  together(): Send
}

type Send = (text: string, parameters?: unknown[], bytes?: boolean) => Promise<unknown[][]>

/** What postgres.js makes of a statement, as far as it is used here; `state` is null until it is sent. */
interface Query {
  state: object | null
  strings: string[]
  args: unknown[]
  parameters?: unknown[]
  cancelled: unknown
  reject(error: unknown): void
  /** The first of those that are sent together. */
  first?: Query | undefined
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
  fail: (error: unknown) => void
  lost: () => void
  first: Query | undefined = undefined
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
    fail: (error: unknown) => void,
    lost: () => void
  ) {
    this.strings = [text]
    this.parameters = parameters
    this.isRaw = bytes || 'values'
    this.resolve = resolve
    this.fail = fail
    this.lost = lost
  }

  reject(error: unknown) {
    // Its end comes after the error of its socket: what is sent again at once would be lost with it.
    if (isBroken(error)) this.lost()
    this.fail(error)
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

/** How long after the end of a connection, or of an attempt to make one, the next is made. */
const PAUSE_MS = 200

/** The connection of a transaction, which can be told to take nothing more; `begin` gets it with its first statement. */
interface Taken {
  terminate(): void
}
interface Begin {
  onexecute(one: Taken): void
}

const LATE = Object.assign(new Error('No connection was free in time'), { code: '57014' })
const LOST = Object.assign(new Error('The connection was lost'), { code: 'CONNECTION_CLOSED' })

/** Fails a statement that was not sent, and says which: by that an error is known as one of a statement. */
function fail(query: Query, { code, message }: NodeJS.ErrnoException) {
  if (query.state === null) query.reject(Object.assign(new Error(message), { code, query: query.strings[0] }))
}

/** How the driver takes a statement in, and gives up one that was never sent. */
type Taking = Record<'handler' | 'canceller', (query: Query) => void>

/** A connection, made when it takes its first statement, and never made anew. */
interface Connection {
  sql: postgres.Sql
  take(query: Query): void
  cancel(query: Query): void
  /** Gives it up, with all that it was given. */
  lost(why?: NodeJS.ErrnoException): void
}

/**
 * postgres.js with one connection at a time, and without its own retry of stale statements, its reconnecting and its endless queue.
 *
 * A connection takes all with it that it was given: that fails. postgres.js would go on with another one, and take for its own what
 * is left of the one before: a statement that came between the error of the socket and its end is never sent, nothing after it is
 * answered, and of statements that belong together some are sent and others not. So each connection has a client of its own.
 *
 * A statement that waited for a connection for a second is not sent any more, since nobody may be there to be told of it, and
 * fails with 57014. (A request has 4.7 s.) Looks are counted, not milliseconds: a process that was held up finds its connections first.
 *
 * @param options with `max_lifetime` in seconds a connection that is as old is replaced, once it has done what it was given;
 *   `onclose` is called when one was lost
 */
export function open(options: postgres.Options<Types>, url?: string): Client {
  // Has the options as they were read, and no connection: what it is given goes to the current client.
  const client = url === undefined ? postgres(options) : postgres(url, options)
  const lifetime = (client.options.max_lifetime ?? 0) * 1000
  let waiting: { query: Query; looks: number; by: Connection }[] = []
  let dials = 0
  let closed = false
  let current = connection(0)

  /** @param from not before, by `performance.now` */
  function connection(from: number): Connection {
    let asked = false
    let dialled = false
    let ready = false
    let gone = false
    let taken: Taken | undefined
    let renewal: NodeJS.Timeout | undefined
    const replace = (pause: number, end: { timeout?: number }) => {
      clearTimeout(renewal)
      if (!closed && current === it) current = connection(performance.now() + pause)
      void sql.end(end)
    }
    const renew = () => {
      // One that ends does what it was sent, but not what waits.
      if (waiting.length === 0) replace(0, {})
      else renewal = setTimeout(renew, LOOK_MS)
    }
    const lost = (why: NodeJS.ErrnoException = LOST) => {
      if (gone) return
      gone = true
      for (const { query, by } of waiting) if (by === it) fail(query, why)
      // A transaction would send its rollback without a socket, which ends the process.
      taken?.terminate()
      replace(PAUSE_MS, { timeout: 0 })
      client.options.onclose?.(0)
    }
    const socket = async ({ host, port, path }: typeof client.options) => {
      // It was closed before it was ready, after which the driver would try for ever.
      if (dialled) throw LOST
      dialled = true
      await sleep(from - performance.now())
      if (closed) throw LOST
      if (lifetime > 0) renewal = setTimeout(renew, lifetime)
      const n = dials++ % host.length
      const to = path ? { path } : { host: host[n], port: Number(port[n]) }
      // The driver reads them there, for TLS and for its errors.
      return Object.assign(connect(to), to)
    }
    // Of options that were read already, as the driver itself makes the one that listens.
    const sql = postgres({ ...client.options, max_lifetime: null, socket, onclose: () => lost() } as object)
    const hello = sql.unsafe('')
    const { handler: take, canceller } = hello as unknown as Taking
    const it: Connection = {
      sql,
      lost,
      cancel: canceller,
      // The driver keeps what comes to a new connection, and then sends some of it after what comes later.
      take(query) {
        if (ready) return take(query)
        if (!asked) hello.then(begin, lost)
        asked = true
      }
    }
    const begin = () => {
      ready = true
      for (const { query, by } of waiting) if (by === it) take(query)
    }
    const unsafe = handled(sql.unsafe)
    // By it `begin` sends its first statement, and takes the connection for the others.
    sql.unsafe = ((text: string, values: [], { onexecute }: Begin) => {
      const take = (one: Taken) => {
        taken = one
        onexecute(one)
      }
      return unsafe(text, values, { onexecute: take } as object)
    }) as typeof unsafe
    return it
  }

  function handled(unsafe: postgres.Sql['unsafe']) {
    return ((...args) => Object.assign(unsafe(...args), { handler })) as typeof unsafe
  }

  function look() {
    waiting = waiting.filter((one) => {
      const { query, by } = one
      if (query.state !== null) return false
      // What belongs to one that was sent goes after it.
      if (one.looks++ < LOOKS || (query.first?.state ?? null) !== null) return true
      fail(query, LATE)
      by.cancel(query)
      return false
    })
    if (waiting.length > 0) setTimeout(look, LOOK_MS)
  }

  function handler(query: Query) {
    current.take(query)
    if (query.state !== null) return
    if (waiting.push({ query, looks: 0, by: current }) === 1) setTimeout(look, LOOK_MS)
  }

  function sender(whole: boolean): Send {
    let first: Prepared | undefined
    return (text, parameters = [], bytes = false) =>
      new Promise((resolve, reject) => {
        const query = new Prepared(text, parameters, bytes, resolve, reject, current.lost)
        if (whole) query.first = first ??= query
        handler(query)
      })
  }

  return Object.assign(client, {
    unsafe: handled(client.unsafe),
    begin: ((...args: Parameters<typeof client.begin>) =>
      current.sql.begin(...args).catch((error) => {
        // That of a lost connection need not be, and names no statement then, by which errors of the database are known.
        throw error.code === 'CONNECTION_CLOSED' && !('query' in error)
          ? Object.assign(error, { query: 'begin' })
          : error
      })) as typeof client.begin,
    send: sender(false),
    together: () => sender(true),
    async end(options?: { timeout?: number }) {
      closed = true
      await current.sql.end(options)
    }
  })
}
