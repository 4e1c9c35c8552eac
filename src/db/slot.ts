import { EventEmitter } from 'node:events'
import type { Connection, ConnectionOptions } from './connection.ts'
import { FINISH_SECONDS } from './session.ts'

type Events = Required<Pick<ConnectionOptions, 'onClose' | 'onNotification'>>

/**
 * Makes a connection.
 *
 * @param attempt how many were made before: each goes to the next host
 * @param delayMs the wait before it connects, in milliseconds
 */
export type Connect = (attempt: number, delayMs: number, events: Events) => Connection

/** How long after the close of a connection, or of an attempt to make one, the next connects. */
const PAUSE_MS = 200

/**
 * The place of a connection in a pool. The connection is made when the first statement needs it, and another takes over
 * when it closed or is too old. `close` says that it closed; `notification` has the payload of a notification.
 */
export class Slot extends EventEmitter<{ close: []; notification: [payload: string] }> {
  readonly #connect: Connect
  readonly #lifetimeMs: () => number
  #connection: Connection | undefined
  /** Connections that were too old. They finish what they were sent. */
  readonly #retired = new Set<Connection>()
  #attempts = 0
  #notBefore = 0
  #expiresAt = 0
  #hasEnded = false
  /** How many statements and transactions are in flight. */
  inFlight = 0
  /** Which kind may join what is in flight; undefined for none. */
  shared: 'read' | 'write' | undefined
  /** When PostgreSQL began with what it works on, by `performance.now()`: it does one statement after the other. */
  since = 0

  /** @param lifetimeMs is asked for each connection, so that not all are replaced at once */
  constructor(connect: Connect, lifetimeMs = () => Number.POSITIVE_INFINITY) {
    super()
    this.#connect = connect
    this.#lifetimeMs = lifetimeMs
  }

  /** The current connection. It is made when there is none, or only one that is too old. */
  get connection(): Connection {
    if (this.#connection !== undefined && performance.now() > this.#expiresAt) this.#retire(this.#connection)
    return this.#connection ?? this.#replace()
  }

  /** Closes the slot. What was sent has half a second to be answered. */
  async end(): Promise<void> {
    this.#hasEnded = true
    await Promise.all([...this.#retired, this.#connection].map((one) => one?.end(FINISH_SECONDS)))
  }

  #retire(connection: Connection): void {
    this.#retired.add(connection)
    void connection.end().then(() => this.#retired.delete(connection))
    // It did not fail, so the next connection needs no pause.
    this.#notBefore = 0
  }

  #replace(): Connection {
    const now = performance.now()
    const delayMs = Math.max(0, this.#notBefore - now)
    const onNotification = (payload: string) => void this.emit('notification', payload)
    const connection = this.#connect(this.#attempts++, delayMs, { onClose: this.#onClose, onNotification })
    this.#connection = connection
    this.#expiresAt = now + this.#lifetimeMs()
    if (this.#hasEnded) void connection.end()
    return connection
  }

  readonly #onClose = (): void => {
    this.#connection = undefined
    this.#notBefore = performance.now() + PAUSE_MS
    this.emit('close')
  }
}
