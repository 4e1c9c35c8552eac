import { EventEmitter } from 'node:events'
import { sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/postgres-js'
import type { FastifyBaseLogger } from 'fastify'
import type { Options, PostgresType } from 'postgres'
import type { Config } from '../config/config.ts'
import { driverAddress } from '../config/database-url.ts'
import { type Client, open } from './driver.ts'
import { PooledConnection, type SendFor } from './lane.ts'
import { MIGRATIONS, migrate, versionsOf } from './migrate.ts'
import { type Load, Pool } from './pool.ts'
import type { Db, Prepare } from './prepare.ts'
import { Readiness } from './readiness.ts'
import { deleteExpired } from './retention.ts'
import { ROW_SECURITY_ROLE, withRowSecurity } from './row-security.ts'
import { PINNED } from './settings.ts'
import type { Transact } from './transaction.ts'

/** An open database. `db` reaches every row: it is for commands, and for nobody who answers requests. */
export interface Connection {
  db: Db & { $client: Client }
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
   * key of a feed. `onReconnect` is called when listening begins, and begins again: notifications may have been lost
   * with the connection before. Rejects when the first attempt fails; others follow until the database is closed.
   */
  listen(onNotification: (key: string) => void, onReconnect: () => void): Promise<unknown>
  /** Deletes the rows whose time is over, whosever they are (`src/db/retention.ts`). */
  deleteExpired(): Promise<void>
  /**
   * Why the service cannot work with `tables`, or undefined when it can: they are there, it may use them, the policies
   * bind it if and only if they should (`DATABASE_RLS`), sessions have the settings that our statements rely on, and
   * the schema has the version of this service. A newer one is none to start with, but whoever runs already goes on:
   * each migration fits the version before.
   */
  readinessProblem(tables: Iterable<string>): Promise<string | undefined>
  /**
   * Waits up to 0.5 s for statements in flight (of requests that were answered long ago), then closes every connection
   * and the embedded engine.
   */
  close(): Promise<void>
}

/** On the channel of `pg_notify` in `record_change`. */
const LISTEN = 'listen "rowkeeper"'

/** How long after an attempt to listen that failed the next is made. */
export const LISTEN_AGAIN_MS = 1000

/** A search of 10,000 tasks of 10,000 characters takes a quarter of it (docs/performance.md). */
const SCAN_TIMEOUT_MS = 2000

/** A connection may stay silent for this much longer than PostgreSQL lets a statement run. */
const SILENCE_MARGIN_MS = 1000

/**
 * How often the connection that listens is asked something. Otherwise it could be lost for as long as the kernel takes
 * to find out, and nobody would be told of changes.
 */
export const LISTENER_CHECK_MS = 5000

/** How many of the connections are for scans: of a single one, none. */
const scansOf = (poolMax: number) => (poolMax === 1 ? 0 : Math.max(1, Math.floor(poolMax / 5)))

const UNKNOWN_STATEMENT =
  'PostgreSQL does not know a statement that was prepared on this connection: ' +
  'behind a pooler that gives each transaction another connection, set DATABASE_PREPARE=false'

const options = ({ prepare, statementTimeoutMs }: Config['database']): Options<Record<string, PostgresType>> => ({
  max: 1,
  prepare,
  // Array types, which we do not use, would cost a query on each new connection.
  fetch_types: false,
  connect_timeout: 3,
  max_lifetime: null,
  // A moment is text, which a Date would round to milliseconds.
  types: { moment: { to: 1184, from: [1082, 1114, 1184], serialize: String, parse: String } },
  onnotice: () => {},
  connection: { application_name: 'rowkeeper', ...PINNED, statement_timeout: statementTimeoutMs }
})

/** The folder of the embedded database (`pglite://folder`), or undefined when the database is a server. */
export const embeddedFolder = ({ url }: Config['database']) =>
  url.startsWith('pglite://') ? url.slice('pglite://'.length) : undefined

/**
 * Opens the database of `DATABASE_URL`: PostgreSQL through postgres.js and Drizzle, or with `pglite://folder` the
 * embedded one, which is started, migrated, and spoken to through the same driver over a local socket. Connections
 * are made when they are first needed, or by `preconnect`, so an unreachable server fails queries, not this call.
 *
 * @param migrations the folder of the migrations that the schema is of; the embedded database gets them
 */
export async function connect(
  config: Config['database'],
  log: FastifyBaseLogger,
  migrations = MIGRATIONS
): Promise<Connection> {
  const notifications = new EventEmitter<Notifications>()
  const callbacks = {
    onnotify: (_channel: string, key: string) => void notifications.emit('notification', key),
    onclose: () => void notifications.emit('lost')
  }
  const folder = embeddedFolder(config)
  if (folder === undefined) {
    const { url, ...socket } = driverAddress(config.url)
    const silenceMs = ({ statementTimeoutMs }: Config['database']) =>
      statementTimeoutMs === 0 ? undefined : statementTimeoutMs + SILENCE_MARGIN_MS
    const one = (config: Config['database']) =>
      // Not all at once.
      open({ ...options(config), ...socket, max_lifetime: 60 * (30 + 30 * Math.random()) }, url, silenceMs(config))
    const scan = { ...config, statementTimeoutMs: Math.min(config.statementTimeoutMs, SCAN_TIMEOUT_MS) }
    const scans = Array.from({ length: scansOf(config.poolMax) }, () => one(scan))
    const others = Array.from({ length: config.poolMax - scans.length - 1 }, () => one(config))
    const listener = open({ ...options(config), ...socket, ...callbacks }, url, silenceMs(config))
    return connection(config, log, migrations, { ordinary: [one(config), ...others], scans, listener }, notifications)
  }
  // Imported here, because production on a server needs neither the engine nor its disk space.
  const { startEmbedded } = await import('./embedded.ts')
  const engine = await startEmbedded(folder, log)
  // One connection, which listens too: the engine has one session, and its socket corrupts or hangs with several
  // connections.
  const socket = { path: engine.socket, user: 'postgres', database: 'postgres' }
  const client = open({ ...options(config), ...socket, ...callbacks })
  const embedded = connection(
    config,
    log,
    migrations,
    { ordinary: [client], scans: [], listener: client },
    notifications
  )
  await migrate(embedded.db, migrations)
  if (config.rls) await embedded.db.execute(sql.raw(ROW_SECURITY_ROLE))
  return {
    ...embedded,
    close: async () => {
      await embedded.close()
      await engine.close()
    }
  }
}

/** Without row-level security every statement names its owner itself. */
const sendFor =
  ({ send }: Client): SendFor =>
  (_owner, text, parameters, bytes) =>
    send(text, parameters, bytes)

/** What the connection that listens tells: a key that was notified, and that it was lost. */
interface Notifications {
  notification: [key: string]
  lost: []
}

/** One for each connection. That of `listener` tells the `Notifications`. */
interface Clients {
  ordinary: [Client, ...Client[]]
  scans: Client[]
  listener: Client
}

function connection(
  { rls }: Config['database'],
  log: FastifyBaseLogger,
  migrations: string,
  { ordinary, scans, listener }: Clients,
  notifications: EventEmitter<Notifications>
): Connection {
  const clients = [...ordinary, ...scans]
  const db = drizzle({ client: ordinary[0] })
  // For what the service does for itself. The pool would put requests behind it, or cancel it with them.
  const service = drizzle({ client: listener })
  const readiness = new Readiness(service, rls, versionsOf(migrations))
  const pooled = (client: Client) => new PooledConnection(client, rls ? withRowSecurity(client) : sendFor(client))
  let told = false
  const pool = new Pool(db, { ordinary: ordinary.map(pooled), scans: scans.map(pooled) }, () => {
    if (!told) log.error(UNKNOWN_STATEMENT)
    told = true
  })
  let closing = false
  let check: NodeJS.Timeout | undefined
  return {
    db,
    prepare: pool.prepare,
    transaction: pool.transaction,
    load: () => pool.load(),
    preconnect: () => Promise.allSettled(clients.map((client) => client.send('select 1'))),
    listen(onNotification, onReconnect) {
      let listening = false
      const listen = async () => {
        await listener.send(LISTEN)
        listening = true
        onReconnect()
      }
      const again = () => void listen().catch(later)
      const later = () => closing || setTimeout(again, LISTEN_AGAIN_MS).unref()
      notifications.on('notification', onNotification).on('lost', () => {
        if (listening) again()
        listening = false
      })
      const keepAsking = () => {
        check = setTimeout(keepAsking, LISTENER_CHECK_MS).unref()
        if (listening) listener.send('select 1').catch(() => {})
      }
      keepAsking()
      const first = listen()
      first.catch(later)
      return first
    },
    deleteExpired: () => deleteExpired(service, log),
    readinessProblem: (tables) => readiness.problem(tables),
    close: async () => {
      closing = true
      clearTimeout(check)
      await Promise.all([...clients, listener].map((client) => client.end({ timeout: 0.5 })))
    }
  }
}
