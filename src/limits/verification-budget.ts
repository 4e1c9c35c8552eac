import { LruMap } from 'toad-cache'
import { MAX_KEYS } from './memory.ts'

const SECOND_MS = 1000

/**
 * Processor time a second for the failed checks of one address past its budget. It is enough for 150 checks of ES512 or
 * 2,500 of EdDSA.
 */
const ADDRESS_MS = 200
/** Processor time a second for the failed checks of all addresses past their budgets. */
const TOTAL_MS = 400
/** The least time that one check counts: the time that the rest of its request takes. */
const CHECK_MIN_MS = 1 / 16
/** The most time that one check counts. A longer time means that the process was interrupted. */
const CHECK_MAX_MS = 5

/** The most failed checks a second of one address past its budget. */
export const CHECKS_PER_SECOND = ADDRESS_MS / CHECK_MIN_MS

/** An allowance of processor time. It refills continuously, and holds the time of one second at most. */
class TimeAllowance {
  readonly #perSecond: number
  #left: number
  #at = performance.now()

  constructor(perSecond: number) {
    this.#perSecond = perSecond
    this.#left = perSecond
  }

  hasLeft(now: number): boolean {
    this.#left = Math.min(this.#perSecond, this.#left + ((now - this.#at) * this.#perSecond) / SECOND_MS)
    this.#at = now
    return this.#left > 0
  }

  use(ms: number): void {
    this.#left -= ms
  }
}

interface Entry {
  /** The requests without a valid token in this window, and the checks in flight. */
  used: number
  end: number
  allowance: TimeAllowance
}

/**
 * Decides whether one more signature may be checked for an address. An address has as many checks as its budget for
 * requests without a valid token allows. Past the budget it has as many as fit a bounded share of the processor. A
 * check counts as failed until it is released, so concurrent requests get no more checks than consecutive ones.
 */
export class VerificationBudget {
  readonly #entries = new LruMap<Entry>(MAX_KEYS)
  readonly #total = new TimeAllowance(TOTAL_MS)
  readonly #max: number
  readonly #windowMs: number

  /** @param max requests without a valid token of one address in `windowMs` milliseconds; null for no limit */
  constructor(max: number | null, windowMs: number) {
    this.#max = max ?? Number.POSITIVE_INFINITY
    this.#windowMs = windowMs
  }

  #entry(address: string, now: number): Entry {
    let entry = this.#entries.get(address)
    if (entry === undefined) {
      entry = { used: 0, end: now + this.#windowMs, allowance: new TimeAllowance(ADDRESS_MS) }
      this.#entries.set(address, entry)
    } else if (entry.end <= now) {
      entry.used = 0
      entry.end = now + this.#windowMs
    }
    return entry
  }

  /** Returns whether a signature may be checked for `address`. If so, call `release` or `charge` afterwards. */
  tryAcquire(address: string): boolean {
    const now = performance.now()
    const entry = this.#entry(address, now)
    if (entry.used >= this.#max && !(entry.allowance.hasLeft(now) && this.#total.hasLeft(now))) return false
    entry.used++
    return true
  }

  /** Call this when the token was valid. Its check does not count. */
  release(address: string): void {
    const entry = this.#entry(address, performance.now())
    entry.used = Math.max(0, entry.used - 1)
  }

  /** Call this when the token was not valid and its check took `ms` milliseconds. */
  charge(address: string, ms: number): void {
    const entry = this.#entry(address, performance.now())
    if (entry.used <= this.#max) return
    const time = Math.min(Math.max(ms, CHECK_MIN_MS), CHECK_MAX_MS)
    entry.allowance.use(time)
    this.#total.use(time)
  }

  /** Call this when the limiter has counted `used` requests of `address` in a window with `ttl` milliseconds left. */
  sync(address: string, used: number, ttl: number): void {
    const now = performance.now()
    const entry = this.#entry(address, now)
    entry.used = Math.max(entry.used, used)
    entry.end = now + ttl
  }
}
