import { getTableName, is } from 'drizzle-orm'
import { PgTable } from 'drizzle-orm/pg-core'
import { ConfigError } from '../config/error.ts'
import { deletionOrder } from './constraints.ts'
import type { OwnedTable } from './owned.ts'
import { systemTables } from './system-tables.ts'

const SYSTEM_NAMES: readonly string[] = systemTables.map(getTableName)

/**
 * Every table whose rows belong to users: those of the resources, then the service's own. This is the order in which a
 * write locks them: the row, the feed, the change. A purge in another order would end in a deadlock with a write. A row
 * comes before those that it refers to, so that a purge can delete them.
 *
 * @param schema a module that exports the tables of the resources
 * @throws {ConfigError} when one has the name of a table of the service's own
 */
export function ownedTablesOf(schema: Record<string, unknown>): OwnedTable[] {
  const owned = Object.values(schema).filter((one): one is OwnedTable => is(one, PgTable) && 'userId' in one)
  const taken = owned.map(getTableName).find((name) => SYSTEM_NAMES.includes(name))
  if (taken !== undefined) throw new ConfigError([`The table "${taken}" is one of the service's own: rename yours.`])
  return [...deletionOrder(owned), ...systemTables]
}
