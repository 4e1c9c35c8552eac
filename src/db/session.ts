import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { failure, type Reason } from './errors.ts'
import type { DriverOptions, Query } from './query.ts'

/** Where PostgreSQL listens: a host, or the path of a socket. */
export type Address = { host: string; port: number } | { path: string }

/** The connection inside postgres.js. */
interface Inner {
  execute(query: Query): void
}

/** The query that opens the session. Its state holds the process id and the secret that a cancel request needs. */
interface FirstQuery extends PromiseLike<unknown> {
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

/** What a session calls. */
export interface SessionEvents {
  /** The session has ended. It is not called when the session never began. */
  onClose(): void
  /** A notification came, with this payload. */
  onNotification?: ((payload: string) => void) | undefined
  /** What PostgreSQL answers next is committed, but a cancel request ended its wait for a synchronous standby. */
  onUnreplicated(): void
}

/** How long a session may take until PostgreSQL takes statements. */
export const CONNECT_TIMEOUT_MS = 4000

/** How many statements of several owners may be in flight in one session. */
export const SHARED_MAX = 4

/**
 * The pause after each cancel request. A request cancels one statement at most. PostgreSQL ignores one that comes
 * before it has read the statement, or while it commits.
 */
const CANCEL_PAUSE_MS = 30

/** How long cancel requests are sent. docs/running.md promises a second. */
const CANCEL_MS = 1000

/**
 * How long they are sent by a path, and when the service ends. The embedded engine has one session, so this is shorter
 * than the pause before the next connection (`slot.ts`).
 */
const CANCEL_BRIEFLY_MS = 120

/** How long what was sent may take before it is cancelled, when its session is ended. */
export const FINISH_SECONDS = 0.5

/** How long the other side may take to close its side of the socket. */
const CLOSE_MS = 100

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
  readonly #first: FirstQuery
  #inner: Inner | undefined
  #socket: Socket | undefined
  #isCancelling = false
  #hasEnded = false
  #timer: NodeJS.Timeout | undefined

  constructor(
    { url, driver, address, delayMs = 0 }: SessionOptions,
    { onClose, onNotification, onUnreplicated }: SessionEvents
  ) {
    this.#address = address
    this.#delayMs = delayMs
    // With several hosts postgres.js would not report a failure. Its types do not know `socket`.
    const own: object = {
      ...('host' in address ? { host: [address.host], port: [address.port] } : address),
      max: 1,
      max_lifetime: null,
      socket: () => this.#makeSocket(),
      onclose: onClose,
      onnotice: ({ routine }: postgres.Notice) => routine === 'SyncRepWaitForLSN' && onUnreplicated(),
      ...(onNotification && { onnotify: (_channel: string, payload: string) => onNotification(payload) })
    }
    const options: DriverOptions = { ...driver, ...own }
    this.#sql = url === undefined ? postgres(options) : postgres(url, options)
    const onexecute = (inner: Inner) => {
      this.#inner = inner
    }
    this.#first = this.#sql.unsafe('', [], { onexecute } as postgres.UnsafeQueryOptions) as unknown as FirstQuery
  }

  /** Connects, and resolves when PostgreSQL takes statements. */
  async begin(): Promise<void> {
    await sleep(this.#delayMs)
    if (this.#hasEnded) throw failure(LOST, '')
    // The timeout of postgres.js ends when PostgreSQL lets it in. A pooler does that before it has a connection.
    const timeout = new Promise((_resolve, reject) => {
      const giveUp = () => {
        reject(failure(SLOW, ''))
        this.#socket?.destroy()
      }
      this.#timer = setTimeout(giveUp, CONNECT_TIMEOUT_MS)
    })
    await Promise.race([this.#first, timeout])
    clearTimeout(this.#timer)
  }

  /** Sends a query, once the session has begun. */
  execute(query: Query): void {
    this.#inner?.execute(query)
  }

  /**
   * Ends the session, and asks PostgreSQL to cancel all that it was sent, by connections of their own. It has read
   * that, and would do it whenever what it works on is done.
   *
   * @param ms milliseconds in which it asks
   */
  async cancel(ms = 'host' in this.#address ? CANCEL_MS : CANCEL_BRIEFLY_MS): Promise<void> {
    if (this.#hasEnded) return
    this.#isCancelling = true
    let isAnswered = false
    const answered = this.end().then(() => {
      isAnswered = true
    })
    const until = performance.now() + ms
    // postgres.js writes what it was given at the end of this turn of the event loop.
    await Promise.race([answered, sleep(0)])
    while (!isAnswered && !this.#hasEnded && performance.now() < until) {
      const request = this.#first.canceller({ state: this.#first.state, active: true }).catch(() => {})
      // Behind TLS postgres.js never settles a request whose socket fails before the handshake.
      await Promise.race([answered, request, sleep(Math.max(0, until - performance.now()))])
      await Promise.race([answered, sleep(CANCEL_PAUSE_MS)])
    }
  }

  /**
   * Closes the socket, by RST. Otherwise the kernel would deliver what was sent whenever the network is back, and
   * PostgreSQL would do what it has read and not begun.
   */
  reset(): void {
    // postgres.js ends the socket when all is answered. Node cannot reset a socket that ends, and never closes it then.
    if ('host' in this.#address && !this.#socket?.writableEnded) this.#socket?.resetAndDestroy()
    else this.#socket?.destroy()
  }

  /**
   * Ends the session when what was sent is answered.
   *
   * @param timeout seconds after which what is not answered is cancelled, or fails at once if it is 0
   */
  async end(timeout?: number): Promise<void> {
    clearTimeout(this.#timer)
    if (timeout === undefined) return this.#sql.end()
    if (timeout > 0) {
      await Promise.race([this.#sql.end(), sleep(1000 * timeout, undefined, { ref: false })])
      await this.cancel(CANCEL_BRIEFLY_MS)
      return this.reset()
    }
    this.#hasEnded = true
    if (this.#socket?.connecting) this.#socket.destroy()
    // postgres.js forgets the timeout when the session is ending already, and may wait for the other side to close.
    await Promise.race([this.#sql.end({ timeout }), sleep(CLOSE_MS, undefined, { ref: false })])
    this.#socket?.destroy()
  }

  /** Makes the socket of the session, or of a cancel request. */
  async #makeSocket(): Promise<Socket> {
    // The socket closed before the session began. postgres.js would try again for ever.
    if (this.#hasEnded || (this.#socket !== undefined && !this.#isCancelling)) throw failure(LOST, '')
    // postgres.js listens for the errors of a cancel request in the next microtask only, and they may come at once.
    if (this.#isCancelling) await undefined
    const socket = connect(this.#address)
    this.#socket ??= socket
    // postgres.js reads the address from the socket, for TLS and for its errors.
    return Object.assign(socket, this.#address)
  }
}
