import { getTableName } from 'drizzle-orm'
import fp from 'fastify-plugin'
import { ConfigError } from '../src/config/config.ts'
import { type Connection, connect } from '../src/db/connect.ts'
import { classify, codeOf } from '../src/db/errors.ts'
import { misconfiguration } from '../src/db/misconfiguration.ts'
import { type OwnedBy, type OwnedTable, ownedBy } from '../src/db/owned.ts'
import { measureStored, StorageQuota } from '../src/db/storage-quota.ts'
import type { Transact } from '../src/db/transaction.ts'
import { addMetrics } from '../src/telemetry/metrics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The way to a table whose rows belong to users; there is no other (`src/db/owned.ts`). */
    owned: OwnedBy
    /** Statements of one owner that are all done, or none of them (`src/db/transaction.ts`). */
    transaction: Transact
    /** What each user may store in the tables that were asked for (`src/db/storage-quota.ts`). */
    storage: StorageQuota
    /** Hears of recorded changes (`src/db/connect.ts`). */
    hearChanges: Connection['listen']
    /** Whether requests can be served from the database; logs why not. It throws what the database answers. */
    isDatabaseUsable(): Promise<boolean>
  }
}

const UNREACHABLE =
  'PostgreSQL cannot be reached by DATABASE_URL: requests are answered 503 until it can. Check its host, its port, and that it runs.'

/** How often expired rows are deleted. */
const RETENTION_MS = 3_600_000

/**
 * Opens the database (`src/db/connect.ts`) and closes it with the instance.
 *
 * @param opts.migrations the folder of the migrations that the schema is of, which the embedded database gets;
 * Rowkeeper's own unless given
 */
export default fp(
  async (app, { migrations }: { migrations?: string }) => {
    const { database, userStorageMaxBytes } = app.config
    const connection = await connect(database, app.log, migrations)
    app.addHook('onClose', connection.close)

    const tables = new Map<string, OwnedTable>()
    app.decorate('owned', (table, { recorded = false } = {}) => {
      tables.set(getTableName(table), table)
      return ownedBy(connection.prepare, table, recorded)
    })

    app.decorate('transaction', connection.transaction)
    let measure: ReturnType<typeof measureStored> | undefined
    app.decorate(
      'storage',
      new StorageQuota(userStorageMaxBytes, (owner) => {
        // All tables are known by the first request.
        measure ??= measureStored(connection.prepare, tables.values())
        return measure(owner)
      })
    )
    app.decorate('hearChanges', connection.listen)

    addMetrics(
      app,
      {
        name: 'database_pending',
        help: 'Statements and transactions that the database has not answered yet',
        kind: 'gauge',
        read: () => connection.load().pending
      },
      {
        name: 'database_queued',
        help: 'Statements and transactions that wait for a connection, of those that are pending',
        kind: 'gauge',
        read: () => connection.load().queued
      },
      {
        name: 'database_connections',
        help: 'Connections by whether they have something to do; those that are not made yet are idle',
        kind: 'gauge',
        label: 'state',
        read() {
          const { busy, idle } = connection.load()
          return { busy, idle }
        }
      }
    )

    const retention = setInterval(() => void connection.deleteExpired(), RETENTION_MS).unref()
    app.addHook('onClose', async () => clearInterval(retention))

    let told: string | undefined
    const ask = async () => {
      const fault = await connection.fault(tables.keys())
      if (fault !== undefined && fault !== told) app.log.error(fault)
      told = fault
      return fault === undefined
    }
    // However many ask at once, the database is asked once.
    let asked: Promise<boolean> | undefined
    app.decorate('isDatabaseUsable', () => {
      asked ??= ask().finally(() => (asked = undefined))
      return asked
    })

    // Not waited for: whoever comes first finds one at least, that of `onReady`.
    app.addHook('onListen', async () => void connection.warm())

    // What only the operator can mend ends the start. A server that cannot be reached is waited for.
    app.addHook('onReady', async () => {
      const fault = await connection.fault(tables.keys()).catch((error) => {
        const told = misconfiguration(error)
        if (told === undefined && classify(error) !== 'unavailable') throw error
        if (told === undefined) app.log.warn({ code: codeOf(error) }, UNREACHABLE)
        return told
      })
      if (fault !== undefined) throw new ConfigError([fault])
    })
  },
  { name: 'database' }
)
