import { LruMap } from 'toad-cache'
import { MAX_KEYS } from './memory.ts'

const SECOND_MS = 1000

/**
 * Processor time a second for failing checks of one address past its budget: enough for 150 of ES512, 2,500 of EdDSA.
 */
const ADDRESS_MS = 200
/** The same for all addresses together. */
const TOTAL_MS = 400
/** What a check counts as at least: the time that the rest of its request takes. */
const CHECK_MIN_MS = 1 / 16
/** The most that one check counts. A longer time means that the process was interrupted. */
const CHECK_MAX_MS = 5

/** Checks a second that an address has at most past its budget. */
export const CHECKS_PER_SECOND = ADDRESS_MS / CHECK_MIN_MS

/** Processor time that comes back with time, up to that of a second: so whoever comes at any time may find some. */
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
  /** Requests without a valid token in this window. */
  used: number
  end: number
  allowance: TimeAllowance
}

/**
 * Decides for each address whether one more signature may be checked: as many as its budget for requests without a
 * valid token, and past that as many as fit a bounded share of the processor. A check counts as failed until it is
 * released, so requests that come at once buy no more checks than one after the other.
 */
export class VerificationBudget {
  readonly #entries = new LruMap<Entry>(MAX_KEYS)
  readonly #total = new TimeAllowance(TOTAL_MS)
  readonly #max: number
  readonly #windowMs: number

  /**
   * @param max requests of one address without a valid token in a window of `windowMs` milliseconds; null for no limit
   */
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

  /** Whether a signature may be checked for `address`; then either `release` it or `charge` for it. */
  tryAcquire(address: string): boolean {
    const now = performance.now()
    const entry = this.#entry(address, now)
    if (entry.used >= this.#max && !(entry.allowance.hasLeft(now) && this.#total.hasLeft(now))) return false
    entry.used++
    return true
  }

  /** The token was good: its check does not count. */
  release(address: string): void {
    const entry = this.#entry(address, performance.now())
    entry.used = Math.max(0, entry.used - 1)
  }

  /** The token was not good, and its check took `ms` milliseconds. */
  charge(address: string, ms: number): void {
    const entry = this.#entry(address, performance.now())
    if (entry.used <= this.#max) return
    const time = Math.min(Math.max(ms, CHECK_MIN_MS), CHECK_MAX_MS)
    entry.allowance.use(time)
    this.#total.use(time)
  }

  /** The limiter counted `used` requests of `address` in a window that ends in `ttl` milliseconds. */
  sync(address: string, used: number, ttl: number): void {
    const now = performance.now()
    const entry = this.#entry(address, now)
    entry.used = Math.max(entry.used, used)
    entry.end = now + ttl
  }
}
