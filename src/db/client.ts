import { drizzle } from 'drizzle-orm/postgres-js'
import type { FastifyBaseLogger } from 'fastify'
import postgres from 'postgres'
import type { Config } from '../config/config.ts'
import { databaseAddresses, embeddedFolder } from '../config/database-url.ts'
import { Distribution } from './distribution.ts'
import { MIGRATIONS, migrate, versionsOf } from './migrate.ts'
import type { Db } from './prepare.ts'
import { DRIVER_OPTIONS } from './query.ts'
import { type ColumnName, Readiness } from './readiness.ts'
import { ROW_SECURITY_ROLE } from './row-security.ts'

/**
 * A client of one connection, for commands: it reaches every row, and is for nobody who answers requests. A command
 * ends with its connection, so it needs none of what `Connection` does for a service.
 */
export interface Client {
  sql: postgres.Sql
  db: Db
  /** See `readinessProblem` of a database. */
  readinessProblem(tables: Iterable<string>, columns?: readonly ColumnName[]): Promise<string | undefined>
  /** See `nameOwner` of `Distribution`: `readinessProblem` finds out which it is. */
  nameOwner(): string
  /** Closes the connection, and the embedded engine. */
  close(): Promise<void>
}

/** The user and the database of the embedded engine. */
export const EMBEDDED = { user: 'postgres', database: 'postgres' }

const OPTIONS = { ...DRIVER_OPTIONS, max: 1, max_lifetime: null }

function clientOf(sql: postgres.Sql, rls: boolean, migrations: string) {
  const distribution = new Distribution(rls)
  const readiness = new Readiness(
    (text, parameters = []) => sql.unsafe(text, parameters as never[]).values(),
    versionsOf(migrations),
    distribution
  )
  return {
    sql,
    db: drizzle({ client: sql }),
    readinessProblem: (tables: Iterable<string>, columns?: readonly ColumnName[]) => readiness.problem(tables, columns),
    nameOwner: () => distribution.nameOwner,
    close: () => sql.end({ timeout: 0.5 })
  }
}

/**
 * Opens the database of `DATABASE_URL` for a command. An embedded one is started and migrated.
 *
 * @returns with `socket`, the path on which an embedded engine takes one connection at a time
 */
export async function openClient(
  { url, rls, prepare }: Config['database'],
  log: FastifyBaseLogger,
  migrations = MIGRATIONS
): Promise<Client & { socket: string }> {
  const folder = embeddedFolder(url)
  if (folder === undefined) {
    const { addresses, url: href } = databaseAddresses(url)
    const client = postgres(href, { ...OPTIONS, prepare, ...addresses.find((one) => 'path' in one) })
    return { ...clientOf(client, rls, migrations), socket: '' }
  }
  // Imported here, because production on a server needs neither the engine nor its disk space.
  const { startEmbedded } = await import('./embedded.ts')
  const { socket, close } = await startEmbedded(folder, log)
  const client = clientOf(postgres({ ...OPTIONS, ...EMBEDDED, path: socket }), rls, migrations)
  await migrate(client.db, migrations)
  // It stays the role of the engine's one session.
  if (rls) await client.sql.unsafe(ROW_SECURITY_ROLE)
  return {
    ...client,
    socket,
    async close() {
      await client.close()
      await close()
    }
  }
}
