import { getTableName } from 'drizzle-orm'
import fp from 'fastify-plugin'
import { ConfigError } from '../src/config/error.ts'
import { type Connection, connect } from '../src/db/connect.ts'
import { classify, codeOf } from '../src/db/errors.ts'
import { misconfiguration } from '../src/db/misconfiguration.ts'
import { type OwnedBy, type OwnedTable, ownedBy } from '../src/db/owned.ts'
import { measureStored, StorageQuota } from '../src/db/storage-quota.ts'
import type { Transact } from '../src/db/transaction.ts'
import { ownedTables } from '../src/db/user-data.ts'
import { databaseMetrics } from '../src/telemetry/database-metrics.ts'
import { addMetrics } from '../src/telemetry/metrics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The way to a table whose rows belong to users; there is no other (`src/db/owned.ts`). */
    owned: OwnedBy
    /** Statements of one owner that are all done, or none of them (`src/db/transaction.ts`). */
    transaction: Transact
    /** The bytes that each user may store (`src/db/storage-quota.ts`). */
    storage: StorageQuota
    /** Listens for recorded changes (`src/db/connect.ts`). */
    listenForChanges: Connection['listen']
    /** Whether requests can be served from the database; logs why not. It throws what the database answers. */
    isDatabaseReady(): Promise<boolean>
  }
}

const UNREACHABLE =
  'PostgreSQL cannot be reached by DATABASE_URL: requests are answered 503 until it can. ' +
  'Check its host, its port, and that it runs.'

/** How often expired rows are deleted. */
export const RETENTION_MS = 3_600_000

interface Options {
  /** The folder of the migrations that make the tables; Rowkeeper's own by default. The embedded database gets them. */
  migrations?: string
  /** The tables whose rows belong to users: readiness checks them, and they count against the quota of their users. */
  tables?: OwnedTable[]
}

/** Opens the database (`src/db/connect.ts`), and closes it with the instance. */
export default fp(
  async (app, { migrations, tables = ownedTables }: Options) => {
    const { database, userStorageMaxBytes } = app.config
    const connection = await connect(database, app.log, migrations)
    app.addHook('onClose', connection.close)
    app.decorate('owned', (table, { recorded = false } = {}) => ownedBy(connection.prepare, table, recorded))
    app.decorate('transaction', connection.transaction)
    app.decorate('storage', new StorageQuota(userStorageMaxBytes, measureStored(connection.prepare, tables)))
    app.decorate('listenForChanges', connection.listen)
    addMetrics(app, ...databaseMetrics(() => connection.load()))

    const retention = setInterval(() => void connection.deleteExpired(), RETENTION_MS).unref()
    app.addHook('onClose', async () => clearInterval(retention))

    const findProblem = () => connection.readinessProblem(tables.map(getTableName))
    let logged: string | undefined
    const check = async () => {
      const problem = await findProblem()
      if (problem !== undefined && problem !== logged) app.log.error(problem)
      logged = problem
      return problem === undefined
    }
    // Single flight: however many requests ask at once, the database is asked once.
    let checking: Promise<boolean> | undefined
    app.decorate('isDatabaseReady', () => {
      checking ??= check().finally(() => (checking = undefined))
      return checking
    })

    // The start does not wait for it: the check of `onReady` has made one connection.
    app.addHook('onListen', async () => void connection.preconnect())

    // A fault that only the operator can mend ends the start. A server that cannot be reached may come back.
    app.addHook('onReady', async () => {
      const problem = await findProblem().catch((error) => {
        const known = misconfiguration(error)
        if (known === undefined && classify(error) !== 'unavailable') throw error
        if (known === undefined) app.log.warn({ code: codeOf(error) }, UNREACHABLE)
        return known
      })
      if (problem !== undefined) throw new ConfigError([problem])
    })
  },
  { name: 'database' }
)
