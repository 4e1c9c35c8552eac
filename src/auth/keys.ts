import type { FastifyBaseLogger } from 'fastify'
import type { ProblemCode } from '../http/problems.ts'
import { type KeySource, RECHECK_MS } from './checker.ts'
import { download, reasonOf } from './download.ts'
import { HeldKeys } from './held-keys.ts'
import { KeySetError, readKeySet } from './jwk.ts'
import type { Key } from './key.ts'
import type { Token } from './token.ts'

/** The clock of the store, which tests replace. */
export interface Clock {
  /** Returns milliseconds that never go back. */
  now(): number
  /** Calls `run` after `ms` milliseconds, unless the returned function is called before. */
  after(ms: number, run: () => void): () => void
}

/** The timeout of one fetch, its body included. A token with an unknown kid may wait for two, which fit into 5 s. */
const FETCH_TIMEOUT_MS = 2000
/** The least time between the starts of two fetches. Tokens cannot shorten it. */
const COOLDOWN_MS = 1000
/** The time between two fetches. A withdrawn key stops working after this and one fetch; the promise is 10 minutes. */
const REFRESH_MS = 5 * 60_000
/** The pause after a failed fetch. It doubles with each failure, up to `RETRY_MAX_MS`. */
const RETRY_MIN_MS = 1000
const RETRY_MAX_MS = 30_000
/** The time for which keys stay in use while the issuer cannot be reached. */
const MAX_AGE_MS = 24 * 3_600_000

const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms).unref()
    return () => clearTimeout(timer)
  }
}

/** The most keys that are logged of one key set. */
const LOGGED_MAX = 20

/**
 * Fetches the keys that an issuer publishes at a URL (RFC 7517), and keeps them fresh. A fetched key set replaces the
 * held keys as a whole, so a key that it lacks is withdrawn. Only while fetches fail do the old keys stay in use.
 */
export class KeyStore implements KeySource {
  readonly #url: string
  readonly #algorithms: readonly string[]
  readonly #log: FastifyBaseLogger
  readonly #clock: Clock
  readonly #closing = new AbortController()
  readonly #keys = new HeldKeys()
  /** The text of the key set that is held. */
  #text: string | undefined
  #fetchedAt = 0
  #startedAt = Number.NEGATIVE_INFINITY
  #recheckAt = 0
  #fetches = 0
  #failures = 0
  /** Why the last fetch failed. Undefined when it succeeded. */
  #failure: string | undefined
  /** The fetch in flight. */
  #current: Promise<boolean> | undefined
  /** The next fetch, while it has not begun. */
  #upcoming: Promise<boolean> | undefined

  /** @param algorithms the accepted algorithms; keys of other algorithms are ignored */
  constructor(url: string, algorithms: readonly string[], log: FastifyBaseLogger, clock: Clock = systemClock) {
    this.#url = url
    this.#algorithms = algorithms
    this.#log = log
    this.#clock = clock
    void this.#keepFresh()
  }

  get version(): number {
    return this.#keys.version
  }

  hasKeys(): boolean {
    return this.#keys.size > 0
  }

  /** Returns the number of held keys, fetches and failed fetches, and the seconds since the last successful fetch. */
  stats() {
    const ageSeconds = (this.#clock.now() - this.#fetchedAt) / 1000
    return { held: this.#keys.size, fetches: this.#fetches, failures: this.#failures, ageSeconds }
  }

  /** Aborts the fetch in flight and starts no more. Requests that wait for a fetch continue with the held keys. */
  close(): void {
    this.#closing.abort()
  }

  held(header: Token['header']): Key | Promise<Key> | ProblemCode | undefined {
    return this.#keys.find(header)
  }

  /** Waits for two fetches at most, which is 4 s. */
  async ask(header: Token['header']): Promise<Key | ProblemCode> {
    // The fetch in flight usually brings the key. But it may have begun before the key was published.
    const inFlight = this.#current
    if (inFlight !== undefined) {
      if (!(await inFlight)) return this.held(header) ?? 'keys_unavailable'
      const key = this.held(header)
      if (key !== undefined) return key
    }
    const done = await this.#refresh()
    return this.held(header) ?? (done ? 'token_key' : 'keys_unavailable')
  }

  recheck(): Promise<boolean> | undefined {
    const now = this.#clock.now()
    if (this.#upcoming === undefined) {
      // The fetch in flight may have begun before the key was replaced.
      if (now < this.#recheckAt) return this.#current?.then(() => false)
      this.#recheckAt = now + RECHECK_MS
    }
    return this.#refresh().then(() => true)
  }

  /** Waits for `ms` milliseconds, or until the store is closed. */
  #pause(ms: number): Promise<void> {
    const { signal } = this.#closing
    return new Promise<void>((resolve) => {
      if (signal.aborted) return resolve()
      const end = () => {
        cancel()
        signal.removeEventListener('abort', end)
        resolve()
      }
      const cancel = this.#clock.after(ms, end)
      signal.addEventListener('abort', end)
    })
  }

  async #update(signal: AbortSignal): Promise<void> {
    const fetched = await download(this.#url, signal)
    if (fetched === this.#text) return
    const set = await readKeySet(fetched, this.#algorithms)
    this.#keys.replace(set.keys)
    this.#text = fetched
    this.#recheckAt = 0
    for (const key of set.ignored.slice(0, LOGGED_MAX)) this.#log.warn(key, 'published key ignored')
    const kids = set.keys.slice(0, LOGGED_MAX).map(({ kid }) => kid)
    if (kids.length > 0)
      this.#log.info({ keys: set.keys.length, kids, ignored: set.ignored.length }, 'published keys obtained')
    else this.#log.warn({ url: this.#url }, 'no usable key is published: no token can be verified')
  }

  #succeeded(): boolean {
    this.#fetchedAt = this.#clock.now()
    if (this.#failure !== undefined) this.#log.info('published keys can be fetched again')
    this.#failure = undefined
    return this.hasKeys()
  }

  #failed(error: unknown): boolean {
    const reason = reasonOf(error)
    // Log a reason once, and log a different one again: a proxy may answer 502 until the issuer runs, and then 404.
    if (reason !== this.#failure && !this.#closing.signal.aborted)
      this.#log.warn({ url: this.#url, reason }, 'published keys cannot be fetched')
    this.#failure = reason
    this.#failures++
    if (this.hasKeys() && this.#clock.now() - this.#fetchedAt >= MAX_AGE_MS) {
      const hours = MAX_AGE_MS / 3_600_000
      this.#log.error({ hours }, 'published keys could not be fetched for too long: they are no longer used')
      this.#keys.replace([])
      this.#text = undefined
    }
    return false
  }

  /** Fetches once. Resolves to whether the fetch succeeded and there are keys. */
  async #attempt(): Promise<boolean> {
    this.#startedAt = this.#clock.now()
    this.#fetches++
    const timeout = new AbortController()
    const stop = () => timeout.abort(new KeySetError('no whole answer in time'))
    const cancel = this.#clock.after(FETCH_TIMEOUT_MS, stop)
    this.#closing.signal.addEventListener('abort', stop)
    const done = await this.#update(timeout.signal).then(
      () => this.#succeeded(),
      (error) => this.#failed(error)
    )
    cancel()
    this.#closing.signal.removeEventListener('abort', stop)
    return done
  }

  /** Fetches after the fetch in flight and the cooldown. */
  async #inTurn(): Promise<boolean> {
    await this.#current
    const wait = this.#startedAt + COOLDOWN_MS - this.#clock.now()
    if (wait > 0) await this.#pause(wait)
    this.#upcoming = undefined
    if (this.#closing.signal.aborted) return false
    this.#current = this.#attempt()
    const done = await this.#current
    this.#current = undefined
    return done
  }

  /** Returns the next fetch. All callers share it until it begins. */
  #refresh(): Promise<boolean> {
    this.#upcoming ??= this.#inTurn()
    return this.#upcoming
  }

  /** Fetches at intervals until the store is closed. */
  async #keepFresh(): Promise<void> {
    let retry = RETRY_MIN_MS
    while (!this.#closing.signal.aborted) {
      const done = await this.#refresh()
      await this.#pause(done ? REFRESH_MS : retry)
      retry = done ? RETRY_MIN_MS : Math.min(2 * retry, RETRY_MAX_MS)
    }
  }
}
