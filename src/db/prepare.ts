import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import type { Built } from './statement.ts'
import type { Run } from './transaction.ts'

export type Db = PostgresJsDatabase

/** What a statement does besides its own work, unless the database does it (`src/db/distribution.ts`). */
export interface BuildOptions {
  /** It names its owner to row-level security (`src/db/row-security.ts`). */
  namesOwner: boolean
  /** It records the change that it makes, for those who listen (`src/changes`). */
  recordsChanges: boolean
}

/**
 * Prepares a statement that `build` makes, and returns what runs it for an owner with the values of its placeholders.
 */
export type Prepare = <R>(build: (db: Db, options: BuildOptions) => Built<R>) => Run<R>
