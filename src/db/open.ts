import type { FastifyBaseLogger } from 'fastify'
import type { Config } from '../config/config.ts'
import { databaseAddresses, embeddedFolder } from '../config/database-url.ts'
import { EMBEDDED, openClient } from './client.ts'
import { Connection, type ConnectionOptions } from './connection.ts'
import { Distribution } from './distribution.ts'
import { Listener } from './listener.ts'
import { MIGRATIONS, versionsOf } from './migrate.ts'
import { type Load, Pool } from './pool.ts'
import type { Prepare } from './prepare.ts'
import { DRIVER_OPTIONS, type DriverOptions, TYPES } from './query.ts'
import { type ColumnName, Readiness } from './readiness.ts'
import { deleteExpired } from './retention.ts'
import { sendNamed } from './row-security.ts'
import type { Send } from './send.ts'
import type { Address } from './session.ts'
import { type Connect, Slot } from './slot.ts'
import type { Transact } from './transaction.ts'

/** The open database of a service. */
export interface Database {
  prepare: Prepare
  transaction: Transact
  load(): Load
  /**
   * Makes the connections that are not made yet, all at once, and resolves when each is there or failed. A crowd that
   * comes to an instance without them would wait for them behind its own requests: measured, of 1,000 at once some were
   * refused after a second.
   */
  preconnect(): Promise<PromiseSettledResult<unknown>[]>
  /**
   * Listens for the changes that `record_change` recorded (migration 0003), on any instance. `onNotification` gets the
   * key of a feed. `onListening` is called when listening begins on a node (`DATABASE_LISTEN_URLS`), and begins again:
   * notifications may have been lost with the connection before. Rejects when the first attempt on a node fails; others
   * follow until the database is closed.
   */
  listen(onNotification: (key: string) => void, onListening: () => void): Promise<void>
  /** Deletes the rows whose time is over, whosever they are (`src/db/retention.ts`). */
  deleteExpired(): Promise<void>
  /**
   * Why the service cannot work with `tables`, or undefined when it can: they are there with `columns`, it may use
   * them, the policies bind it if and only if they should (`DATABASE_RLS`), sessions have the settings that our
   * statements rely on, the tables are all prepared for Citus or none is, and the schema has the version of this
   * service. A service does not start with a newer schema, but one that runs goes on: each migration fits the version
   * before.
   */
  readinessProblem(tables: Iterable<string>, columns?: readonly ColumnName[]): Promise<string | undefined>
  /**
   * Waits up to 0.5 s for statements in flight (of requests that were answered long ago), cancels the others, and
   * closes every connection and the embedded engine.
   */
  close(): Promise<void>
}

/** A search of 10,000 tasks of 10,000 characters takes a quarter of it (docs/performance.md). */
const SCAN_TIMEOUT_MS = 2000

/** A connection may stay silent for this much longer than PostgreSQL lets a statement run. */
const SILENCE_MARGIN_MS = 1000

const MINUTE_MS = 60_000

/** How many of the connections are for scans: of a single one, none. */
const scansOf = (poolMax: number) => (poolMax === 1 ? 0 : Math.max(1, Math.floor(poolMax / 5)))

const UNKNOWN_STATEMENT =
  'PostgreSQL does not know a statement that was prepared on this connection: ' +
  'behind a pooler that gives each transaction another connection, set DATABASE_PREPARE=false'

const driverOptions = ({ prepare, statementTimeoutMs }: Config['database']): DriverOptions => ({
  ...DRIVER_OPTIONS,
  prepare,
  types: TYPES,
  connection: { ...DRIVER_OPTIONS.connection, statement_timeout: statementTimeoutMs }
})

/** The slots of a database. */
interface Slots {
  ordinary: [Slot, ...Slot[]]
  scans: Slot[]
  /** For what the service does for itself. The pool would put requests behind it. */
  service: Slot
  /** One for each node that notifies. */
  listening: Slot[]
}

/** Makes connections to the addresses, one after the other. */
const connector =
  (addresses: readonly Address[], options: Omit<ConnectionOptions, 'address'>): Connect =>
  (attempt, delayMs, events) =>
    new Connection({ ...options, ...events, delayMs, address: addresses[attempt % addresses.length] as Address })

function serverSlots(config: Config['database']): Slots {
  const connect = (statementTimeoutMs: number, node = config.url) => {
    const { url, addresses } = databaseAddresses(node)
    return connector(addresses, {
      url,
      driver: driverOptions({ ...config, statementTimeoutMs }),
      ...(statementTimeoutMs > 0 && { silenceMs: statementTimeoutMs + SILENCE_MARGIN_MS })
    })
  }
  // Not all are replaced at once.
  const lifetimeMs = () => (30 + 30 * Math.random()) * MINUTE_MS
  const ordinary = () => new Slot(connect(config.statementTimeoutMs), lifetimeMs)
  const scan = () => new Slot(connect(Math.min(config.statementTimeoutMs, SCAN_TIMEOUT_MS)), lifetimeMs)
  const scans = Array.from({ length: scansOf(config.poolMax) }, scan)
  const others = Array.from({ length: config.poolMax - scans.length - 1 }, ordinary)
  const service = new Slot(connect(config.statementTimeoutMs))
  const listening = config.listenUrls.map((url) =>
    url === config.url ? service : new Slot(connect(config.statementTimeoutMs, url))
  )
  return { ordinary: [ordinary(), ...others], scans, service, listening }
}

/**
 * The one slot of the embedded engine, which listens too: the engine has one session, and its socket corrupts or hangs
 * with several connections.
 */
function embeddedSlots(config: Config['database'], path: string): Slots {
  const slot = new Slot(connector([{ path }], { driver: { ...driverOptions(config), ...EMBEDDED } }))
  return { ordinary: [slot], scans: [], service: slot, listening: [slot] }
}

/**
 * Opens the database of `DATABASE_URL`: PostgreSQL, or with `pglite://folder` the embedded engine, which is started,
 * migrated, and spoken to in the same way over a local socket. Connections are made when they are first needed, or by
 * `preconnect`, so an unreachable server fails statements, not this call.
 *
 * @param migrations the folder of the migrations that the schema is of; the embedded database gets them
 */
export async function openDatabase(
  config: Config['database'],
  log: FastifyBaseLogger,
  migrations = MIGRATIONS
): Promise<Database> {
  if (embeddedFolder(config.url) === undefined) return database(config, log, migrations, serverSlots(config))
  const client = await openClient(config, log, migrations)
  await client.sql.end()
  const embedded = database(config, log, migrations, embeddedSlots(config, client.socket))
  return {
    ...embedded,
    async close() {
      await embedded.close()
      await client.close()
    }
  }
}

function database(
  { rls }: Config['database'],
  log: FastifyBaseLogger,
  migrations: string,
  { ordinary, scans, service, listening }: Slots
): Database {
  const pooled = [...ordinary, ...scans]
  const send: Send = (...statement) => service.connection.send(...statement)
  const distribution = new Distribution(rls)
  const readiness = new Readiness(send, versionsOf(migrations), distribution)
  let told = false
  const onUnknownStatement = () => {
    if (!told) log.error(UNKNOWN_STATEMENT)
    told = true
  }
  const pool = new Pool({ ordinary, scans }, distribution, onUnknownStatement, sendNamed(distribution))
  let listeners: Listener[] = []
  return {
    prepare: pool.prepare,
    transaction: pool.transaction,
    load: () => pool.load(),
    preconnect: () => Promise.allSettled(pooled.map(({ connection }) => connection.send('select 1'))),
    async listen(onNotification, onListening) {
      listeners = listening.map((slot) => new Listener(slot, onNotification, onListening))
      await Promise.all(listeners.map((listener) => listener.begin()))
    },
    deleteExpired: () => deleteExpired(send, log, distribution.distributed),
    readinessProblem: (tables, columns) => readiness.problem(tables, columns),
    async close() {
      for (const listener of listeners) listener.close()
      const slots = new Set([...pooled, service, ...listening])
      await Promise.all([pool.settled(), ...[...slots].map((slot) => slot.end())])
    }
  }
}
