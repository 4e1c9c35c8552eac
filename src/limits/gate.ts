import { LruMap } from 'toad-cache'
import { MAX_KEYS } from './memory.ts'

/** Signatures that are checked for an address past its budget, so that its users can still come with a new token. */
export const CHECKS_PER_SECOND = 5

const SECOND_MS = 1000

interface Entry {
  /** Requests without a valid token in this window, those included whose signature is still being checked. */
  used: number
  end: number
  /** Checks past the budget, in the second that ends at `second`. */
  checks: number
  second: number
}

/**
 * Decides for each address whether one more signature may be checked. It decides at once, and counts a check as failed
 * until it has succeeded, so a burst that arrives before any of it is judged buys no more checks than one after the other.
 */
export class Gate {
  readonly #entries = new LruMap<Entry>(MAX_KEYS)
  readonly #max: number
  readonly #windowMs: number

  /** @param max requests of one address without a valid token in a window of `windowMs` milliseconds */
  constructor(max: number, windowMs: number) {
    this.#max = max
    this.#windowMs = windowMs
  }

  #entry(address: string, now: number): Entry {
    let entry = this.#entries.get(address)
    if (entry === undefined) {
      entry = { used: 0, end: now + this.#windowMs, checks: 0, second: 0 }
      this.#entries.set(address, entry)
    } else if (entry.end <= now) {
      entry.used = 0
      entry.end = now + this.#windowMs
    }
    return entry
  }

  /** Whether a signature may be checked for `address`; what succeeds is to be given back with `refund`. */
  admit(address: string): boolean {
    const now = performance.now()
    const entry = this.#entry(address, now)
    if (entry.used >= this.#max) {
      if (entry.second <= now) {
        entry.second = now + SECOND_MS
        entry.checks = 0
      }
      if (entry.checks === CHECKS_PER_SECOND) return false
      entry.checks++
    }
    entry.used++
    return true
  }

  /** The signature was right. */
  refund(address: string): void {
    const entry = this.#entry(address, performance.now())
    entry.used = Math.max(0, entry.used - 1)
  }

  /** The limiter counted `used` requests of `address` in a window that ends in `ttl` milliseconds. */
  learn(address: string, used: number, ttl: number): void {
    const now = performance.now()
    const entry = this.#entry(address, now)
    entry.used = Math.max(entry.used, used)
    entry.end = now + ttl
  }
}
