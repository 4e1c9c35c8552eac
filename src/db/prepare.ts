import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import type { Built } from './statement.ts'
import type { Run } from './transaction.ts'

export type Db = PostgresJsDatabase

/** What a statement does besides its own work. */
export interface Duties {
  /** It names its owner to row-level security (`src/db/row-security.ts`). */
  namesOwner: boolean
}

/**
 * Prepares a statement that `build` makes, and returns what runs it for an owner with the values of its placeholders.
 */
export type Prepare = <R>(build: (db: Db, duties: Duties) => Built<R>) => Run<R>
