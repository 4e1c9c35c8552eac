import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { failure, type Reason } from './errors.ts'

/**
 * All that we know about the internals of postgres.js 3.4.9, which package.json pins. `npm run check:driver` checks
 * another version: it runs the tests of the connection, and the programs of test/upstream, each of which shows a fault
 * that a measure here, in connection.ts or in pool.ts answers.
 */

/** The options that our sessions give to postgres.js. */
export type DriverOptions = postgres.Options<Record<string, postgres.PostgresType>>

/** Where PostgreSQL listens: a host, or the path of a socket. */
export type Address = { host: string; port: number } | { path: string }

/** Is told what becomes of a query, before whoever sent it. */
export interface QueryObserver {
  onAnswer(query: Query): void
  /** Returns the error for whoever sent it. */
  onFailure(query: Query, error: unknown): unknown
}

/**
 * A prepared statement as postgres.js executes it, with the members that it looks for in a query of its own.
 *
 * A query of its own is a promise, which closures over that query resolve. V8's minor collections keep each that was
 * sent, with its rows, and the major collections that follow cost a page of 50 up to half as much again
 * (docs/performance.md). It also gives each value a type, for which it puts a key together and hashes it, text and all.
 * Here PostgreSQL says what the types are.
 */
export class Query {
  readonly strings: string[]
  readonly parameters: unknown[]
  /** The first query of the pipeline or the transaction that this one belongs to. */
  first: Query | undefined = undefined
  /** Whether it begins a transaction, which then has the connection to itself. */
  reserves = false
  executed = false
  /** How often the queue was checked while it waited. */
  checks = 0
  args: unknown[] = []
  // With `simple` postgres.js would send it by the simple protocol, which knows no parameters.
  options = { prepare: true, simple: false }
  isRaw: true | 'values'
  state: object | null = null
  statement: object | null = null
  cancelled: unknown = null
  // postgres.js writes these. They are here so that all queries have one shape.
  active = false
  prepare = true
  prepared = false
  describeFirst = false
  parsing = false
  string = ''
  signature = ''
  // postgres.js appends this to the stack of an error.
  origin = ''
  readonly #resolve: (rows: unknown[][]) => void
  readonly #reject: (error: unknown) => void
  readonly #observer: QueryObserver

  /** @param bytes whether the values are wanted as the bytes of their text */
  constructor(
    text: string,
    parameters: unknown[],
    bytes: boolean,
    resolve: (rows: unknown[][]) => void,
    reject: (error: unknown) => void,
    observer: QueryObserver
  ) {
    this.strings = [text]
    this.parameters = parameters
    this.isRaw = bytes || 'values'
    this.#resolve = resolve
    this.#reject = reject
    this.#observer = observer
  }

  get text(): string {
    return this.strings[0] as string
  }

  resolve(rows: unknown[][]): void {
    this.#observer.onAnswer(this)
    this.#resolve(withoutHoles(rows))
  }

  reject(error: unknown): void {
    this.#reject(this.#observer.onFailure(this, error))
  }

  // postgres.js sets this before it sends a statement again whose plan went stale, because a migration changed a type
  // of it. It sends the statement behind those that were sent meanwhile, and from then on takes their answers for each
  // other's, so that a user gets the row of another. Here the statement fails instead, and the pool sends it again.
  set retried(error: object) {
    this.cancelled = true
    this.reject(Object.assign(error, { query: this.text }))
  }
}

/**
 * The rows of a result. postgres.js does not reset its row counter when a statement fails after its first rows, so the
 * next result begins with as many holes.
 */
const withoutHoles = (rows: unknown[][]) => (rows.length === 0 || 0 in rows ? rows : rows.filter(() => true))

/** The connection inside postgres.js. */
interface Inner {
  execute(query: Query): void
}

/** The query that opens the session. Its state holds the process id and the secret that a cancel request needs. */
interface Greeting extends PromiseLike<unknown> {
  state: object | null
  canceller(query: { state: object | null; active: boolean }): Promise<void>
}

export interface SessionOptions {
  /** The URL of the database. `driver` alone describes an embedded one. */
  url?: string | undefined
  driver: DriverOptions
  address: Address
  /** The wait before it connects, in milliseconds. */
  delayMs?: number
}

/** How long a session may take until PostgreSQL takes statements. */
export const CONNECT_TIMEOUT_MS = 4000

/** The pauses before each cancel request. PostgreSQL ignores one that comes before it reads the statement. */
const CANCEL_PAUSES_MS = [0, 50, 200]

const SLOW: Reason = { code: 'CONNECT_TIMEOUT', message: 'The connection was not ready in time' }
export const LOST: Reason = { code: 'CONNECTION_CLOSED', message: 'The connection was lost' }

/**
 * A session of PostgreSQL, by a client of postgres.js that has this one only. Queries do not pass the queue of that
 * client: it keeps those that come to a new connection, and then sends some of them after later ones.
 */
export class Session {
  readonly #address: Address
  readonly #delayMs: number
  readonly #sql: postgres.Sql
  readonly #greeting: Greeting
  #inner: Inner | undefined
  #socket: Socket | undefined
  #isDialled = false
  #isCancelling = false
  #hasEnded = false
  #timer: NodeJS.Timeout | undefined

  /**
   * @param onClose is called when the session has ended, unless it never began
   * @param onNotification is called with the payload of each notification
   */
  constructor(
    { url, driver, address, delayMs = 0 }: SessionOptions,
    onClose: () => void,
    onNotification?: (payload: string) => void
  ) {
    this.#address = address
    this.#delayMs = delayMs
    // With several hosts postgres.js would not report a failure. Its types do not know `socket`.
    const own: object = {
      ...('host' in address ? { host: [address.host], port: [address.port] } : address),
      max: 1,
      max_lifetime: null,
      socket: () => this.#dial(),
      onclose: onClose,
      ...(onNotification && { onnotify: (_channel: string, payload: string) => onNotification(payload) })
    }
    const options: DriverOptions = { ...driver, ...own }
    this.#sql = url === undefined ? postgres(options) : postgres(url, options)
    const onexecute = (inner: Inner) => {
      this.#inner = inner
    }
    this.#greeting = this.#sql.unsafe('', [], { onexecute } as postgres.UnsafeQueryOptions) as unknown as Greeting
  }

  /** Connects, and resolves when PostgreSQL takes statements. */
  async begin(): Promise<void> {
    // The timeout of postgres.js ends when PostgreSQL lets it in. A pooler does that before it has a connection.
    const timeout = new Promise((_resolve, reject) => {
      this.#timer = setTimeout(() => reject(failure(SLOW, '')), this.#delayMs + CONNECT_TIMEOUT_MS)
    })
    await Promise.race([this.#greeting, timeout])
    clearTimeout(this.#timer)
  }

  /** Sends a query, once the session has begun. */
  execute(query: Query): void {
    this.#inner?.execute(query)
  }

  /** Asks PostgreSQL to cancel what it works on, by connections of their own. */
  async cancel(): Promise<void> {
    this.#isCancelling = true
    for (const ms of CANCEL_PAUSES_MS) {
      await sleep(ms)
      if (this.#hasEnded) return
      await this.#greeting.canceller({ state: this.#greeting.state, active: true }).catch(() => {})
    }
  }

  /** Closes the socket by RST. Otherwise the kernel would deliver what was sent whenever the network is back. */
  reset(): void {
    if ('host' in this.#address) this.#socket?.resetAndDestroy()
  }

  /**
   * Ends the session when what was sent is answered.
   *
   * @param timeout seconds after which what is not answered fails with `CONNECTION_DESTROYED`
   */
  async end(timeout?: number): Promise<void> {
    clearTimeout(this.#timer)
    if (timeout === 0) {
      this.#hasEnded = true
      if (this.#socket?.connecting) this.#socket.destroy()
    }
    await this.#sql.end(timeout === undefined ? {} : { timeout })
  }

  /** Makes the socket of the session, or of a cancel request. */
  async #dial(): Promise<Socket> {
    // postgres.js listens for its errors in the next microtask only, and they may come at once.
    if (this.#isCancelling) await undefined
    // The socket closed before the session began. postgres.js would try again for ever.
    else if (this.#isDialled) throw failure(LOST, '')
    else {
      this.#isDialled = true
      await sleep(this.#delayMs)
      if (this.#hasEnded) throw failure(LOST, '')
    }
    const socket = connect(this.#address)
    if (!this.#isCancelling) this.#socket = socket
    // postgres.js reads the address from the socket, for TLS and for its errors.
    return Object.assign(socket, this.#address)
  }
}
