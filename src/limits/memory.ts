import type { FastifyRateLimitStore } from '@fastify/rate-limit'
import { LruMap } from 'toad-cache'

/** A fixed window of one key. */
export interface Window {
  count: number
  /** On the clock of `performance.now()`, which nobody sets back; milliseconds. */
  end: number
}

export type Callback = Parameters<FastifyRateLimitStore['incr']>[1]

/** Keys that a limiter remembers: of some 200 bytes each; past it the least recently used is forgotten. */
export const MAX_KEYS = 50_000

/**
 * Makes the function that counts one in the window of a key, a new one when the last is over, and returns that window.
 */
export function fixedWindows() {
  const windows = new LruMap<Window>(MAX_KEYS)
  return (key: string, windowMs: number, now: number): Window => {
    const window = windows.get(key)
    if (window === undefined) {
      const first = { count: 1, end: now + windowMs }
      windows.set(key, first)
      return first
    }
    if (window.end > now) {
      window.count++
    } else {
      window.count = 1
      window.end = now + windowMs
    }
    return window
  }
}

/**
 * A store for @fastify/rate-limit that counts in this process. The library's own hands every caller of a key the same
 * object, whose count has moved on by the time it is read, and so refuses a whole burst; this one answers with fresh
 * values.
 */
export class MemoryStore implements FastifyRateLimitStore {
  readonly #count = fixedWindows()

  incr(key: string, callback: Callback, windowMs: number): void {
    const now = performance.now()
    const { count, end } = this.#count(key, windowMs, now)
    callback(null, { current: count, ttl: end - now })
  }

  child(): MemoryStore {
    return new MemoryStore()
  }
}
