import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import type { Built } from './statement.ts'
import type { Run } from './transaction.ts'

export type Db = PostgresJsDatabase

/**
 * Prepares a statement that `build` makes, and returns what runs it for an owner with the values of its placeholders.
 */
export type Prepare = <R>(build: (db: Db) => Built<R>) => Run<R>
