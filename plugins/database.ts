import { getTableName } from 'drizzle-orm'
import fp from 'fastify-plugin'
import { ConfigError } from '../src/config.ts'
import { connect } from '../src/db/connect.ts'
import { classify } from '../src/db/errors.ts'
import { type OwnedBy, ownedBy } from '../src/db/owned.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The way to a table whose rows belong to users; there is no other (`src/db/owned.ts`). */
    owned: OwnedBy
    /** Whether requests can be served from the database; logs why not. It throws what the database answers. */
    isDatabaseUsable(): Promise<boolean>
  }
}

/**
 * Opens the database (`src/db/connect.ts`) and closes it with the instance.
 *
 * @param opts.migrations the folder of the migrations that the embedded database gets; Rowkeeper's own unless given
 */
export default fp(
  async (app, { migrations }: { migrations?: string }) => {
    const { database } = app.config
    const connection = await connect(database, app.log, migrations)
    app.addHook('onClose', connection.close)

    const tables = new Set<string>()
    app.decorate('owned', (table) => {
      tables.add(getTableName(table))
      return ownedBy(connection.prepare, table)
    })

    let told: string | undefined
    app.decorate('isDatabaseUsable', async () => {
      const fault = await connection.fault(tables)
      if (fault !== undefined && fault !== told) app.log.error(fault)
      told = fault
      return fault === undefined
    })

    // A wall that is asked for and does not stand is no reason to wait for a health check. A database that cannot be asked is.
    app.addHook('onReady', async () => {
      if (!database.rls) return
      const fault = await connection.fault(tables).catch((error) => {
        if (classify(error) !== 'unavailable') throw error
      })
      if (fault !== undefined) throw new ConfigError([fault])
    })
  },
  { name: 'database' }
)
