import { eq, sql } from 'drizzle-orm'
import { LruMap } from 'toad-cache'
import type { Owner } from '../auth/user.ts'
import type { OwnedTable } from './owned.ts'
import type { Prepare } from './prepare.ts'
import { OWNER_IS_NAMED } from './row-security.ts'
import { OWNER } from './statement.ts'
import { storedBytes } from './stored-bytes.ts'

/** Users that an instance keeps an account of; past it that of whoever wrote longest ago is forgotten. */
const MAX_ACCOUNTS = 10_000

/** What a user may write, as part of their quota, before it is measured what they have stored. */
const UNMEASURED = 1 / 64

/**
 * How long a user who may store no more waits at most for what other instances deleted, and for kept answers that
 * expired.
 */
const MEASURED_FOR_MS = 60_000

/** How long a measurement that failed is not tried again: one that takes too long would keep a connection busy. */
const FAILED_FOR_MS = 10_000

/** Measures the bytes that an owner has stored in `tables`. */
export function measureStored(prepare: Prepare, tables: Iterable<OwnedTable>): (owner: Owner) => Promise<number> {
  const owner = sql.placeholder(OWNER)
  const sums = [...tables].map(
    (table) => sql`(select coalesce(sum(${storedBytes(table)}), 0) from ${table} where ${eq(table.userId, owner)})`
  )
  const bytes = sql<string>`${sql.join(sums, sql` + `)}`
  const run = prepare<{ bytes: string }[]>((db, { namesOwner }) => {
    const statement = db.select({ bytes }).from(sql`(values (1)) as one`)
    return { statement: namesOwner ? statement.where(OWNER_IS_NAMED) : statement, fields: { bytes }, scan: true }
  })
  return async (owner) => (await run(owner)).reduce((sum, { bytes }) => sum + Number(bytes), 0)
}

/** What an instance knows of a user: what was stored when it was measured last, and the most that was written since. */
class Account {
  stored = 0
  written = 0
  /** On the clock of `performance.now()`, milliseconds; 0 when something was deleted since. */
  measuredAt = 0
  measuring: Promise<void> | undefined
  /** Why the user could not be measured, and until when they are not measured again. */
  failure: unknown
  failedUntil = 0
}

/**
 * Bounds what each user has stored. Whoever writes little is not measured: that is a scan of all that they have, and
 * comes once in each 64th of the quota that they write to this instance. So with several instances, or after a restart,
 * a user may have a 64th more for each of them.
 */
export class StorageQuota {
  readonly #max: number
  readonly #measure: (owner: Owner) => Promise<number>
  readonly #accounts = new LruMap<Account>(MAX_ACCOUNTS)

  /** @param max bytes of one user; `Infinity` for no bound */
  constructor(max: number, measure: (owner: Owner) => Promise<number>) {
    this.#max = max
    this.#measure = measure
  }

  /**
   * Whether a user may store so many bytes more, which then count as written. It may send a statement: in a transaction
   * that would wait for another connection, so ask before it begins.
   */
  async hasRoom(owner: Owner, bytes: number): Promise<boolean> {
    const account = this.#accountOf(owner)
    if (account.written + bytes > this.#max * UNMEASURED || (!this.#fits(account, bytes) && isOld(account))) {
      if (performance.now() < account.failedUntil) throw account.failure
      account.measuring ??= this.#measureAnew(owner, account)
      await account.measuring
    }
    if (!this.#fits(account, bytes)) return false
    account.written += bytes
    return true
  }

  /** Counts bytes that were stored without asking. */
  add(owner: Owner, bytes: number): void {
    this.#accountOf(owner).written += bytes
  }

  /** What the user has stored became less: it is measured before they are refused the next time. */
  freed(owner: Owner): void {
    this.#accountOf(owner).measuredAt = 0
  }

  #fits({ stored, written }: Account, bytes: number): boolean {
    return stored + written + bytes <= this.#max
  }

  #accountOf(owner: Owner): Account {
    const account = this.#accounts.get(owner) ?? new Account()
    this.#accounts.set(owner, account)
    return account
  }

  async #measureAnew(owner: Owner, account: Account): Promise<void> {
    const { written } = account
    // What is written meanwhile may come too late to be measured.
    account.written = 0
    account.measuredAt = performance.now()
    try {
      account.stored = await this.#measure(owner)
    } catch (error) {
      account.written += written
      account.measuredAt = 0
      account.failure = error
      account.failedUntil = performance.now() + FAILED_FOR_MS
      throw error
    } finally {
      account.measuring = undefined
    }
  }
}

/** Whether a measurement cannot be relied on any more to refuse somebody. */
const isOld = ({ written, measuredAt }: Account) =>
  written > 0 || measuredAt === 0 || performance.now() - measuredAt > MEASURED_FOR_MS
