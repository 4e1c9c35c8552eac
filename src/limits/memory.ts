import type { FastifyRateLimitStore } from '@fastify/rate-limit'
import { LruMap } from 'toad-cache'

/** The fixed window of one key. */
export interface Window {
  count: number
  /** When the window ends, in milliseconds on the clock of `performance.now()`, which never goes back. */
  end: number
}

export type Callback = Parameters<FastifyRateLimitStore['incr']>[1]

/** The most keys that a limiter holds, at about 200 bytes each. The least recently used key is dropped first. */
export const MAX_KEYS = 50_000

/**
 * Makes the function that counts one request in the window of a key and returns the window. When the window has ended,
 * a new one begins.
 */
export function fixedWindows() {
  const windows = new LruMap<Window>(MAX_KEYS)
  return (key: string, windowMs: number, now: number): Window => {
    const window = windows.get(key)
    if (window === undefined) {
      const added = { count: 1, end: now + windowMs }
      windows.set(key, added)
      return added
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
 * A store for @fastify/rate-limit that counts in this process. The library's own store gives all requests of a key the
 * same object. In a burst its count has changed by the time it is read, so every request of the burst is refused. This
 * store passes a new object to each request.
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
