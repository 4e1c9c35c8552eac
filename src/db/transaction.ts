import { sql } from 'drizzle-orm'
import type { Owner } from '../auth/user.ts'
import type { Build, Db, Preparable } from './connect.ts'

/** A transaction in which statements that were prepared are run. */
export interface Transaction {
  run<R>(name: string, build: Build<R>, values: Record<string, unknown>): Promise<R>
}

/**
 * Does `work` in one transaction for an owner: all of it, or nothing when it throws. Statements that it starts without
 * waiting for the ones before are sent at once, and done in order.
 *
 * @param alone names what the owner does once at a time
 * @throws {Busy} when they are at that already, on any instance
 */
export type Transact = <R>(owner: Owner, work: (transaction: Transaction) => Promise<R>, alone?: string) => Promise<R>

/** The owner is at it already: what a transaction was to do alone was not done. */
export class Busy extends Error {}

/** `Transact` on the connections of `db`. The owner is named to the policies, should they bind. */
export const transact = <R>(
  db: Db,
  owner: Owner,
  work: (transaction: Transaction) => Promise<R>,
  alone?: string
): Promise<R> =>
  db.transaction(async (db) => {
    // An owner has no line break, so no two pairs are one text. Two texts with one hash wait for each other, which is rare and safe.
    const name = alone === undefined ? null : `${owner}\n${alone}`
    const [row] = await db.execute<{ free: boolean | null }>(sql`
      select set_config('rowkeeper.owner', ${owner}, true), pg_try_advisory_xact_lock(hashtextextended(${name}, 0)) as free`)
    if (row?.free === false) throw new Busy()
    // A statement that is run again is not put together again.
    const statements = new Map<string, unknown>()
    return work({
      run<R>(name: string, build: Build<R>, values: Record<string, unknown>) {
        type Prepared = ReturnType<Preparable<R>['prepare']>
        const prepared = (statements.get(name) as Prepared | undefined) ?? build(db).prepare(name)
        statements.set(name, prepared)
        return prepared.execute(values)
      }
    })
  })
