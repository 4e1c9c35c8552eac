import type { Owner } from '../auth/user.ts'
import type { Client } from './driver.ts'
import type { Statement } from './statement.ts'

/** A transaction in which prepared statements are run. */
export interface Transaction {
  run<R>(statement: Statement<R>, owner: Owner, values: Record<string, unknown>): Promise<R>
}

/** Runs a prepared statement for an owner, with the values of its placeholders, in a transaction if one is given. */
export type Run<R> = (owner: Owner, values?: Record<string, unknown>, transaction?: Transaction) => Promise<R>

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

// The owner is named to the policies, should they bind.
const BEGIN = `select set_config('rowkeeper.owner', $1, true), pg_try_advisory_xact_lock(hashtextextended($2, 0)) as free`

/** `Transact` on a connection of `client`. */
export const transact = <R>(
  client: Client,
  owner: Owner,
  work: (transaction: Transaction) => Promise<R>,
  alone?: string
): Promise<R> =>
  client.transaction(async (send) => {
    // An owner has no line break, so no two pairs are one text. Two texts with one hash wait for each other, which is rare and safe.
    const name = alone === undefined ? null : `${owner}\n${alone}`
    const [row] = await send(BEGIN, [owner, name])
    if (row?.[1] === false) throw new Busy()
    return work({
      run: async ({ text, bytes, parameters, rows }, owner, values) =>
        rows(await send(text, parameters(owner, values), bytes))
    })
  })
