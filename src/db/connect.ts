import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import type { FastifyBaseLogger } from 'fastify'
import postgres, { type Options } from 'postgres'
import type { Config } from '../config.ts'
import { migrate } from './migrate.ts'

export type Db = PostgresJsDatabase

export interface Connection {
  db: Db
  /** Waits up to 5 s for statements in flight, then closes every connection and the embedded engine. */
  close(): Promise<void>
}

const options = ({ poolMax, prepare, statementTimeoutMs }: Config['database']): Options<Record<string, never>> => ({
  max: poolMax,
  prepare,
  // Array types, which we do not use, would cost a query on each new connection.
  fetch_types: false,
  connect_timeout: 3,
  // The default waits up to 20 s after a lost server; a request waits 5 s at most.
  backoff: () => 0.2,
  onnotice: () => {},
  connection: { application_name: 'rowkeeper', TimeZone: 'UTC', statement_timeout: statementTimeoutMs }
})

/** The folder of the embedded database (`pglite://folder`), or undefined when the database is a server. */
export const embeddedFolder = ({ url }: Config['database']) =>
  url.startsWith('pglite://') ? url.slice('pglite://'.length) : undefined

/**
 * Opens the database of `DATABASE_URL`: PostgreSQL through postgres.js and Drizzle, or with `pglite://folder` the
 * embedded one, which is started, migrated, and spoken to through the same driver over a local socket. Connections
 * are made when they are first needed, so an unreachable server fails queries, not this call.
 */
export async function connect(config: Config['database'], log: FastifyBaseLogger): Promise<Connection> {
  const folder = embeddedFolder(config)
  if (folder === undefined) {
    const client = postgres(config.url, options(config))
    return { db: drizzle({ client }), close: () => client.end({ timeout: 5 }) }
  }
  // Imported here, because production on a server needs neither the engine nor its disk space.
  const { startEmbedded } = await import('./embedded.ts')
  const engine = await startEmbedded(folder, log)
  const client = postgres({
    ...options(config),
    path: engine.socket,
    user: 'postgres',
    database: 'postgres',
    // The engine has one session; its socket corrupts or hangs with several connections.
    max: 1
  })
  const db = drizzle({ client })
  await migrate(db)
  return {
    db,
    close: async () => {
      await client.end({ timeout: 5 })
      await engine.close()
    }
  }
}
