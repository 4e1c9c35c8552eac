import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import {
  COMMIT_FAILED,
  DEADLINE_OVER,
  failure,
  isBroken,
  isInFailedTransaction,
  isUnknownStatement,
  QUEUE_TIMEOUT,
  type Reason
} from './errors.ts'

type Types = Record<string, postgres.PostgresType>

export type Client = postgres.Sql & {
  /**
   * Sends a prepared statement, at once if there is a connection, and resolves with its rows: the values of each, in
   * order.
   *
   * @param bytes whether values are wanted as the bytes of their text
   */
  send: Send
  /**
   * A `send` for statements that belong together: on one connection, and when the first was sent, so are the others.
   */
  pipeline(): Send
  /**
   * Does `work` in a transaction of its own: all that it sends, or nothing when that, or it, fails.
   *
   * @throws what `work` throws, or the first of its statements that failed, whether it waited for it or not
   */
  transaction<R>(work: (send: Send) => Promise<R>): Promise<R>
  /**
   * What stops whatever is in flight on the connection that is there now: it is cancelled, or not sent, and the
   * connection is given up, so that nothing else is hit.
   */
  canceller(): () => void
}

type Send = (text: string, parameters?: unknown[], bytes?: boolean) => Promise<unknown[][]>

/** What postgres.js makes of a statement, as far as it is used here; `state` is null until it is sent. */
interface Query {
  state: object | null
  strings: string[]
  reject(error: unknown): void
  /** The connection that it must be sent on. */
  by?: Connection
  /** Whether it was given to the driver, and is not answered yet. */
  given?: boolean
  /** The first of those that are sent together. */
  first?: Prepared | undefined
  /** Whether its connection is from then on for those alone that it is the first of. */
  alone?: boolean
}

/**
 * A prepared statement, with the members that postgres.js looks for in one of its own. Its own is a promise that
 * closures over itself resolve: V8's quick collections leave each that was sent behind, with its rows, and the slow
 * ones that must come then cost a page of 50 up to half as much again (docs/performance.md). And its own gives each
 * value a type, for which a key is put together and hashed, text and all; here PostgreSQL says what types they have.
 * The version is pinned for all that.
 */
class Prepared implements Query {
  strings: string[]
  parameters: unknown[]
  succeed: (rows: unknown[][]) => void
  fail: (error: unknown) => void
  by: Connection
  first: Prepared | undefined = undefined
  alone = false
  given = false
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
  // postgres.js appends it to the stack of an error.
  origin = ''

  constructor(
    text: string,
    parameters: unknown[],
    bytes: boolean,
    succeed: (rows: unknown[][]) => void,
    fail: (error: unknown) => void,
    by: Connection
  ) {
    this.strings = [text]
    this.parameters = parameters
    this.isRaw = bytes || 'values'
    this.succeed = succeed
    this.fail = fail
    this.by = by
  }

  resolve(rows: unknown[][]) {
    this.by.answered(this)
    this.succeed(withoutHoles(rows))
  }

  reject(error: unknown) {
    this.by.answered(this)
    const [text] = this.strings
    const broken = isBroken(error)
    const failed = this.state !== null && !broken
    const leads = this.first === undefined || this.first === this
    // Its end comes after the error of its socket: what is sent again at once would be lost with it.
    if (broken) this.by.lost()
    // The next statement would be in a transaction of another.
    if (failed && (text === 'commit' || text === 'rollback')) this.by.lost()
    if ((leads && isInFailedTransaction(error)) || isUnknownStatement(error)) this.by.lost()
    this.fail(failed && text === 'commit' ? failure(COMMIT_FAILED, text) : error)
  }

  // postgres.js sends a statement whose plan went stale (a migration changed a type of it) once more, behind those that
  // were sent meanwhile; from then on it takes their answers for each other's, and a user is answered the row of
  // another. Before it does it sets this member: here the statement fails instead, and whoever sent it sends it again
  // (`Pool` in src/db/pool.ts).
  set retried(error: unknown) {
    this.cancelled = true
    this.reject(error)
  }
}

/**
 * The rows of a result. postgres.js does not reset its row counter when a statement fails after its first rows, so the
 * next result begins with as many holes.
 */
const withoutHoles = (rows: unknown[][]) => (rows.length === 0 || 0 in rows ? rows : rows.filter(() => true))

/** How often statements that wait for a connection are looked at, and how often in vain. */
export const QUEUE_CHECK_MS = 100
const QUEUE_CHECKS = 10

/** How long after the end of a connection, or of an attempt to make one, the next is made. */
const PAUSE_MS = 200

/** How often a connection that owes an answer is checked for one. */
export const SILENCE_CHECK_MS = 500

/** How long after the one before PostgreSQL is asked to cancel what is in flight. */
const CANCEL_PAUSES_MS = [0, 50, 200]

const SLOW: Reason = { code: 'CONNECT_TIMEOUT', message: 'The connection was not ready in time' }
const LOST: Reason = { code: 'CONNECTION_CLOSED', message: 'The connection was lost' }

/** Fails a statement that was not sent. */
function fail(query: Query, reason: Reason): undefined {
  if (query.state === null) query.reject(failure(reason, query.strings[0]))
}

/**
 * How the driver takes a statement in, and gives up one: it drops what was not sent, and asks PostgreSQL to cancel what
 * was.
 */
interface DriverQuery {
  handler(query: Query): void
  canceller(query: { state: object | null; active?: boolean }): Promise<void>
}

/** A connection, made when it takes its first statement, and never made anew. */
interface Connection {
  sql: postgres.Sql
  /**
   * Whether it took a statement: one that it did not take waits until it can. Undefined when it fails, with the
   * connection.
   */
  take(query: Query): boolean | undefined
  cancel(query: Query): void
  /** Gives it up, with all that it was given. */
  lost(why?: Reason): void
  /** Has PostgreSQL stop what is in flight, and gives it up. */
  stop(): void
  /** A statement that it took was answered, or failed. */
  answered(query: Query): void
  /** Ends that it is for the transaction alone that begins with `first`, if it is. */
  release(first: Query | undefined): void
}

interface Waiting {
  query: Query
  by: Connection
  checks: number
  taken: boolean
  failed: boolean
}

/**
 * postgres.js with one connection at a time, and without its own retry of stale statements, its reconnecting and its
 * endless queue.
 *
 * A connection takes all with it that it was given: that fails. postgres.js would go on with another one, and take for
 * its own what is left of the one before: a statement that came between the error of the socket and its end is never
 * sent, nothing after it is answered, and of statements that belong together some are sent and others not. So each
 * connection has a client of its own.
 *
 * A statement that waited for a connection for a second is not sent any more, since nobody may be there to be told of
 * it, and fails with `QUEUE_TIMEOUT`. (A request has 4.7 s.) Looks are counted, not milliseconds: a process that was
 * held up finds its connections first.
 *
 * @param options with `max_lifetime` in seconds a connection that is as old is replaced, once it has done what it was
 * given; `onclose` is called when one was lost
 * @param silenceMs after so long without an answer to what it was sent a connection is given up. A host that vanishes
 * resets nothing, and the kernel goes on sending for a quarter of an hour; Node has no option for TCP_USER_TIMEOUT.
 */
export function open(options: postgres.Options<Types>, url?: string, silenceMs = Number.POSITIVE_INFINITY): Client {
  // Has the options as they were read, and no connection: what it is given goes to the current client.
  const client = url === undefined ? postgres(options) : postgres(url, options)
  const unsafe = client.unsafe.bind(client)
  const lifetime = (client.options.max_lifetime ?? 0) * 1000
  const { host: hosts, port: ports, path, connect_timeout: connectTimeoutSeconds } = client.options
  let waiting: Waiting[] = []
  let attempts = 0
  let closed = false
  let current = connection(0)

  /** @param from not before, by `performance.now` */
  function connection(from: number): Connection {
    const n = attempts++ % hosts.length
    const to = path ? { path } : { host: String(hosts[n]), port: Number(ports[n]) }
    let asked = false
    let attempted = false
    let ready = false
    let gone = false
    let stopping = false
    let alone: Query | undefined
    let timer: NodeJS.Timeout | undefined
    let wire: Socket | undefined
    let unanswered = 0
    // Checks are counted, not milliseconds: a process that was held up reads first what came meanwhile.
    let checks = 0
    let watching = silenceMs === Number.POSITIVE_INFINITY

    const replace = (pause: number, end: { timeout?: number }) => {
      clearTimeout(timer)
      if (!closed && current === it) current = connection(performance.now() + pause)
      void sql.end(end)
    }
    const renew = () => {
      // One that ends does what it was sent, but not what waits.
      if (waiting.length === 0 && alone === undefined) replace(0, {})
      else timer = setTimeout(renew, QUEUE_CHECK_MS)
    }
    const drop = (why: Reason) => {
      for (const one of waiting.filter(({ by }) => by === it)) {
        one.failed = true
        fail(one.query, why)
      }
    }
    const lost = (why = LOST) => {
      if (gone) return
      gone = true
      drop(why)
      replace(PAUSE_MS, { timeout: 0 })
      client.options.onclose?.(0)
    }
    const hangUp = (why: Reason) => {
      // Otherwise the kernel delivers what was sent whenever the network is back.
      if ('host' in to) wire?.resetAndDestroy()
      lost(why)
    }
    const watch = () => {
      watching = unanswered > 0 && !gone
      if (!watching) return
      if (++checks * SILENCE_CHECK_MS < silenceMs) setTimeout(watch, SILENCE_CHECK_MS)
      else hangUp(LOST)
    }
    const go = () => {
      for (const one of waiting) {
        if (one.by === it && !one.taken && !one.failed) one.taken = it.take(one.query) === true
      }
    }
    const stop = () => {
      if (!ready) return drop(DEADLINE_OVER)
      if (gone || stopping) return
      stopping = true
      clearTimeout(timer)
      // The embedded engine has one session, so the next connection is made when this one has ended.
      if (current === it) current = connection(performance.now() + PAUSE_MS)
      const end = () => hangUp(DEADLINE_OVER)
      // Behind TLS the driver never settles a cancel request whose socket fails before the handshake.
      timer = setTimeout(end, 1000 * connectTimeoutSeconds)
      cancel().then(end)
    }
    /** PostgreSQL ignores a cancel request that comes before it reads the statement, so it is asked more than once. */
    const cancel = async () => {
      for (const ms of CANCEL_PAUSES_MS) {
        await sleep(ms)
        if (gone) return
        // The state holds the process id and the secret that a cancel request needs.
        await canceller({ state: greeting.state, active: true }).catch(() => {})
      }
    }
    const socket = async () => {
      // That of a cancel request. The driver listens for its errors only in the next microtask, and they may come at
      // once.
      if (stopping) {
        await undefined
        return Object.assign(connect(to), to)
      }
      // It was closed before it was ready, after which the driver would try again for ever.
      if (attempted) throw Object.assign(new Error(), LOST)
      attempted = true
      await sleep(Math.max(0, from - performance.now()))
      if (closed) throw Object.assign(new Error(), LOST)
      const attempt = connect(to)
      wire = attempt
      // The driver's own timeout ends when PostgreSQL lets it in, which a pooler does before it has a connection
      // itself.
      timer = setTimeout(
        () => {
          lost(SLOW)
          attempt.destroy()
        },
        1000 * (connectTimeoutSeconds + 1)
      )
      // The driver reads them there, for TLS and for its errors.
      return Object.assign(attempt, to)
    }
    const onclose = () => lost()
    // The driver makes the connection that listens in the same way, from options that it has read. With several hosts
    // it would not report a failure.
    const one = 'host' in to ? { host: [to.host], port: [to.port] } : {}
    const sql = postgres({ ...client.options, ...one, max_lifetime: null, socket, onclose } as object)
    const hello = sql.unsafe('')
    const greeting = hello as unknown as Query & DriverQuery
    const { handler: give, canceller } = greeting
    const begin = () => {
      ready = true
      clearTimeout(timer)
      if (lifetime > 0) timer = setTimeout(renew, lifetime)
      go()
    }
    const it: Connection = {
      sql,
      lost,
      stop,
      cancel: canceller,
      // The driver keeps what comes to a new connection, and then sends some of it after what comes later. And what it
      // does for transactions fails when a hundred statements are under way.
      take(query) {
        if (gone || stopping) return fail(query, LOST)
        if (!asked) hello.then(begin, lost)
        asked = true
        if (!ready || (alone !== undefined && query.first !== alone)) return false
        if (query.alone) alone = query
        query.given = true
        unanswered++
        if (!watching) {
          watching = true
          checks = 0
          setTimeout(watch, SILENCE_CHECK_MS)
        }
        give(query)
        return true
      },
      answered(query) {
        if (query.given) unanswered--
        query.given = false
        checks = 0
      },
      release(first) {
        if (alone !== first) return
        alone = undefined
        go()
      }
    }
    return it
  }

  function expireQueued() {
    waiting = waiting.filter((one) => {
      const { query, by } = one
      if (query.state !== null || one.failed) return false
      // What belongs to one that was sent goes after it.
      if (one.checks++ < QUEUE_CHECKS || (query.first?.state ?? null) !== null) return true
      // It is rejected here first: the driver's own error does not name the statement.
      fail(query, QUEUE_TIMEOUT)
      by.cancel(query)
      return false
    })
    if (waiting.length > 0) setTimeout(expireQueued, QUEUE_CHECK_MS)
  }

  function handler(query: Query) {
    const by = query.by ?? current
    query.by = by
    const taken = by.take(query)
    if (taken === undefined || query.state !== null) return
    if (waiting.push({ query, by, checks: 0, taken, failed: false }) === 1) setTimeout(expireQueued, QUEUE_CHECK_MS)
  }

  const send: Send = (text, parameters = [], bytes = false) =>
    new Promise((resolve, reject) => handler(new Prepared(text, parameters, bytes, resolve, reject, current)))

  function pipeline(alone = false) {
    const by = current
    let first: Prepared | undefined
    const send: Send = (text, parameters = [], bytes = false) =>
      new Promise((resolve, reject) => {
        const query = new Prepared(text, parameters, bytes, resolve, reject, by)
        first ??= Object.assign(query, { alone })
        query.first = first
        handler(query)
      })
    return { send, release: () => by.release(first) }
  }

  async function transaction<R>(work: (send: Send) => Promise<R>): Promise<R> {
    const { send, release } = pipeline(true)
    let begun = false
    let result: R
    try {
      await send('begin')
      begun = true
      let failed: { error: unknown } | undefined
      result = await work((...statement) => {
        const answer = send(...statement)
        // Also of one that nobody waits for: PostgreSQL answers the commit of what failed as if it were none.
        answer.catch((error) => {
          failed ??= { error }
        })
        return answer
      })
      if (failed !== undefined) throw failed.error
    } catch (error) {
      if (begun) send('rollback').catch(() => {})
      release()
      throw error
    }
    const done = send('commit')
    release()
    await done
    return result
  }

  return Object.assign(client, {
    unsafe: ((...args) => {
      const query = unsafe(...args) as ReturnType<typeof unsafe> & Query & { resolve(rows: unknown[][]): void }
      const { resolve, reject } = query
      return Object.assign(query, {
        handler,
        resolve(rows: unknown[][]) {
          query.by?.answered(query)
          resolve(withoutHoles(rows))
        },
        reject(error: unknown) {
          query.by?.answered(query)
          reject(error)
        }
      })
    }) as typeof unsafe,
    // For commands, which do nothing else meanwhile.
    begin: (async (...args: Parameters<typeof client.begin>) => {
      // The connection is ready once it has answered.
      await send('select 1')
      return current.sql.begin(...args)
    }) as typeof client.begin,
    send,
    pipeline: () => pipeline().send,
    transaction,
    canceller() {
      const by = current
      return () => by.stop()
    },
    async end(options?: { timeout?: number }) {
      closed = true
      await current.sql.end(options)
    }
  })
}
