import { getTableColumns, getTableName } from 'drizzle-orm'
import fp from 'fastify-plugin'
import { ConfigError } from '../src/config/error.ts'
import { classify, codeOf } from '../src/db/errors.ts'
import { misconfiguration } from '../src/db/misconfiguration.ts'
import { type Database, openDatabase } from '../src/db/open.ts'
import { type OwnedBy, type OwnedTable, ownedBy } from '../src/db/owned.ts'
import { measureStored, StorageQuota } from '../src/db/storage-quota.ts'
import type { Transact } from '../src/db/transaction.ts'
import { databaseMetrics } from '../src/telemetry/database-metrics.ts'
import { addMetrics } from '../src/telemetry/metrics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The only access to a table whose rows belong to users (`src/db/owned.ts`). */
    owned: OwnedBy
    /** The tables whose rows belong to users. */
    tables: readonly OwnedTable[]
    /** Runs statements of one owner in a transaction (`src/db/transaction.ts`). */
    transaction: Transact
    /** Limits the bytes that each user may store (`src/db/storage-quota.ts`). */
    storage: StorageQuota
    /** Listens for recorded changes (`src/db/listener.ts`). */
    listenForChanges: Database['listen']
    /** Whether the database can serve requests. Logs a readiness problem. Rejects with the error of the database. */
    isDatabaseReady(): Promise<boolean>
  }
}

const UNREACHABLE =
  'PostgreSQL cannot be reached by DATABASE_URL: requests are answered 503 until it can. ' +
  'Check its host, its port, and that it runs.'

const UNKNOWN_TABLE = 'The export, the purge, the storage quota and readiness do not know the table'

/** The interval at which a database that cannot be reached at the start is asked again whether it is ready. */
export const READINESS_MS = 1000

/** The interval at which expired rows are deleted. */
export const RETENTION_MS = 3_600_000

interface Options {
  /** The folder of the application's migrations, which are applied to the embedded database. */
  migrations?: string
  /** The tables whose rows belong to users. Readiness checks them, and their rows count against the storage quota. */
  tables: OwnedTable[]
}

/** Opens the database (`src/db/open.ts`), and closes it with the instance. */
export default fp(
  async (app, { migrations, tables }: Options) => {
    const { database, userStorageMaxBytes } = app.config
    const opened = await openDatabase(database, app.log, migrations)
    app.addHook('onClose', opened.close)
    const known = new Set(tables.map(getTableName))
    app.decorate('owned', (table, { recorded = false } = {}) => {
      const name = getTableName(table)
      if (!known.has(name)) throw new ConfigError([`${UNKNOWN_TABLE} "${name}": export it from schema.ts.`])
      return ownedBy(opened.prepare, table, recorded)
    })
    app.decorate('tables', tables)
    app.decorate('transaction', opened.transaction)
    app.decorate('storage', new StorageQuota(userStorageMaxBytes, measureStored(opened.prepare, tables)))
    app.decorate('listenForChanges', opened.listen)
    addMetrics(app, ...databaseMetrics(() => opened.load()))

    const retention = setInterval(() => void opened.deleteExpired(), RETENTION_MS).unref()
    app.addHook('onClose', async () => clearInterval(retention))

    const columns = tables.flatMap((table) =>
      Object.values(getTableColumns(table)).map(({ name }) => [getTableName(table), name] as const)
    )
    const findProblem = () => opened.readinessProblem(tables.map(getTableName), columns)
    let logged: string | undefined
    const check = async () => {
      const problem = await findProblem()
      if (problem !== undefined && problem !== logged) app.log.error(problem)
      logged = problem
      return problem === undefined
    }
    // Concurrent requests share one check.
    let checking: Promise<boolean> | undefined
    app.decorate('isDatabaseReady', () => {
      checking ??= check().finally(() => (checking = undefined))
      return checking
    })

    // The statements to send depend on what the database has (`src/db/distribution.ts`).
    let asking: NodeJS.Timeout | undefined
    const ask = () => {
      const answered = () => clearInterval(asking)
      app.isDatabaseReady().then(answered, () => {})
    }
    app.addHook('onClose', async () => clearInterval(asking))

    // The start does not wait for this, because the check in `onReady` has already opened one connection.
    app.addHook('onListen', async () => void opened.preconnect())

    // A problem that only the operator can fix stops the start. A server that cannot be reached may come back.
    app.addHook('onReady', async () => {
      const problem = await findProblem().catch((error) => {
        const known = misconfiguration(error)
        if (known === undefined && classify(error) !== 'unavailable') throw error
        if (known !== undefined) return known
        app.log.warn({ code: codeOf(error) }, UNREACHABLE)
        asking = setInterval(ask, READINESS_MS).unref()
        return undefined
      })
      if (problem !== undefined) throw new ConfigError([problem])
    })
  },
  { name: 'database' }
)
