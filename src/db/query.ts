import type postgres from 'postgres'
import { PINNED } from './settings.ts'

/**
 * This file and session.ts have all that we know about the internals of postgres.js 3.4.9, which package.json pins.
 * `npm run check:driver` checks another version. It runs the tests of the connection, and the programs of
 * test/upstream, each of which shows a fault that a measure here, in connection.ts or in pool.ts answers.
 */

/** The options of postgres.js. */
export type DriverOptions = postgres.Options<Record<string, postgres.PostgresType>>

/** The options that each of our clients gives to postgres.js. */
export const DRIVER_OPTIONS: DriverOptions = {
  // Array types, which we do not use, would cost a query on each new connection.
  fetch_types: false,
  connect_timeout: 3,
  onnotice: () => {},
  connection: { application_name: 'rowkeeper', ...PINNED }
}

const asText = (from: number[], parse: (text: string) => unknown) => ({
  to: Number(from[0]),
  from,
  serialize: String,
  parse
})

/**
 * How postgres.js writes and reads values. It writes a parameter as its text when it does not know the type yet, and
 * would write documents, booleans and bytes in another way later.
 */
export const TYPES = {
  // A moment is text, which a Date would round to milliseconds.
  moment: asText([1184, 1082, 1114], String),
  bool: asText([16], (text) => text === 't'),
  json: asText([114], JSON.parse),
  jsonb: asText([3802], JSON.parse),
  bytea: asText([17], (text) => Buffer.from(text.slice(2), 'hex'))
}

/** Hears how a query ended, before the sender of the query does. */
export interface QueryObserver {
  /** Returns an error for the sender when the answer is not to be trusted. */
  onAnswer(query: Query): Error | undefined
  /** Returns the error for the sender. */
  onFailure(query: Query, error: unknown): unknown
}

/**
 * A prepared statement as postgres.js executes it, with the members that it looks for in a query of its own.
 *
 * A query of its own is a promise, which closures over that query resolve. V8's minor collections keep each that was
 * sent, with its rows, and the major collections that follow cost a page of 50 up to half as much again
 * (docs/performance.md). It also gives each value a type, for which it puts a key together and hashes it, text and all.
 * Here PostgreSQL says what the types are. postgres.js knows them from the second execution on, so `TYPES` writes every
 * parameter as its text.
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
    if (!parameters.every(isPlain)) throw new TypeError('A parameter is neither text, a number, a boolean nor null')
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
    const error = this.#observer.onAnswer(this)
    if (error === undefined) this.#resolve(withoutHoles(rows))
    else this.#reject(error)
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
 * Whether postgres.js can write a parameter. One that it cannot write fails the query in flight instead of its own, and
 * from then on each query gets the answer of the next.
 */
const isPlain = (parameter: unknown) => parameter === null || PLAIN.has(typeof parameter)
const PLAIN = new Set(['string', 'number', 'boolean'])

/**
 * The rows of a result. postgres.js does not reset its row counter when a statement fails after its first rows, so the
 * next result begins with as many holes.
 */
const withoutHoles = (rows: unknown[][]) => (rows.length === 0 || 0 in rows ? rows : rows.filter(() => true))
