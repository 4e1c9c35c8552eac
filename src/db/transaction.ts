import type { Owner } from '../auth/user.ts'
import type { Deadline } from '../http/deadline.ts'
import type { Connection } from './connection.ts'
import { DEADLINE_OVER, failure } from './errors.ts'
import type { Statement } from './statement.ts'

/** A transaction in which prepared statements are run. */
export interface Transaction {
  run<R>(statement: Statement<R>, owner: Owner, values: Record<string, unknown>): Promise<R>
}

/** Who waits for a statement: the transaction that it is part of, or a request, which has a deadline. */
export type Within = Transaction | Deadline

/**
 * Runs a prepared statement for an owner, with the values of its placeholders. When the time of the request is up it is
 * not sent any more, and a write that was sent is cancelled.
 */
export type Run<R> = (owner: Owner, values?: Record<string, unknown>, within?: Within) => Promise<R>

interface TransactionOptions {
  /** The deadline of the request that waits. Then the transaction is cancelled, and nothing of it is done. */
  within?: Deadline | undefined
  /** Names what the owner does once at a time. */
  lockKey?: string | undefined
}

/**
 * Does `work` in one transaction for an owner: all of it, or nothing when it throws. Statements that it starts without
 * waiting for the ones before are sent at once, and done in order.
 *
 * @throws {LockNotAvailable} when the owner is at what `lockKey` names already, on any instance
 */
export type Transact = <R>(
  owner: Owner,
  work: (transaction: Transaction) => Promise<R>,
  options?: TransactionOptions
) => Promise<R>

/** The owner is at it already: what a transaction was to do alone was not done, or is undone. */
export class LockNotAvailable extends Error {}

const TRY_LOCK = 'pg_try_advisory_xact_lock(hashtextextended($2, 0)) as free'

/**
 * `Transact` on a connection.
 *
 * @param nameOwner names the owner to the policies, should they bind (`src/db/distribution.ts`)
 */
export const transact = <R>(
  connection: Connection,
  owner: Owner,
  work: (transaction: Transaction) => Promise<R>,
  { within, lockKey }: TransactionOptions,
  nameOwner: string
): Promise<R> =>
  connection.transaction(async (send) => {
    const sendInTime: typeof send = async (text, ...rest) => {
      if (within?.over) throw failure(DEADLINE_OVER, text)
      return send(text, ...rest)
    }
    // An owner has no line break, so no two pairs are one text. Two texts with one hash wait for each other, which is
    // rare and safe.
    const name = lockKey === undefined ? null : `${owner}\n${lockKey}`
    const [row] = await sendInTime(`select ${nameOwner}, ${TRY_LOCK}`, [owner, name])
    if (row?.[1] === false) throw new LockNotAvailable()
    const result = await work({
      run: async ({ text, bytes, parameters, rows }, owner, values) =>
        rows(await sendInTime(text, parameters(owner, values), bytes))
    })
    // The next is its commit.
    if (within?.over) throw failure(DEADLINE_OVER, 'commit')
    return result
  })
