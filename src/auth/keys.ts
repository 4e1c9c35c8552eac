import type { FastifyBaseLogger } from 'fastify'
import type { ProblemCode } from '../http/problems.ts'
import { type KeySource, RECHECK_MS } from './checker.ts'
import { download, reasonOf } from './download.ts'
import { KeySetError, type PublishedKey, readKeySet } from './jwk.ts'
import { Key } from './key.ts'
import { SignatureCheck } from './signature.ts'
import type { Token } from './token.ts'

/** Time as the store sees it, so that a test can make it pass. */
export interface Clock {
  /** Milliseconds on a scale that never goes back. */
  now(): number
  /** Calls `run` after so many milliseconds, unless the returned function is called before. */
  after(ms: number, run: () => void): () => void
}

/** For one fetch, its body included. Two of them, which an unknown kid may have to wait for, fit a request's 5 s. */
const FETCH_TIMEOUT_MS = 2000
/** From the start of one fetch to the start of the next, whatever the tokens say. */
const COOLDOWN_MS = 1000
/** A withdrawn key stops working after this and one fetch; the promise is 10 minutes. */
const REFRESH_MS = 5 * 60_000
/** After a fetch that failed, doubled each time up to the second. */
const RETRY_MIN_MS = 1000
const RETRY_MAX_MS = 30_000
/** So long keys are used of an issuer that cannot be reached. */
const MAX_AGE_MS = 24 * 3_600_000

const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms).unref()
    return () => clearTimeout(timer)
  }
}

/** How many keys a log line names. */
const LOGGED_MAX = 20

class HeldKey extends Key {
  readonly pem: string
  readonly #check: SignatureCheck

  constructor({ pem, algorithm }: PublishedKey) {
    const check = new SignatureCheck(pem, algorithm)
    super(algorithm, check.signed)
    this.pem = pem
    this.#check = check
  }

  /** The key once it can check signatures, without a promise when it can already. */
  prepared(): Key | Promise<Key> {
    return this.#check.isReady ? this : this.#check.prepare().then(() => this)
  }
}

/**
 * The keys that an issuer publishes at a URL (RFC 7517), fetched from when the store is made. A set that was fetched
 * counts as a whole: what it lacks is withdrawn, and only an unreachable issuer leaves the old keys in use.
 */
export class KeyStore implements KeySource {
  readonly #url: string
  readonly #algorithms: readonly string[]
  readonly #log: FastifyBaseLogger
  readonly #clock: Clock
  readonly #closing = new AbortController()
  #keys = new Map<string | undefined, HeldKey>()
  /** What `#keys` were read from. */
  #text: string | undefined
  #version = 0
  #fetchedAt = 0
  #startedAt = Number.NEGATIVE_INFINITY
  #recheckAt = 0
  #fetches = 0
  #failures = 0
  /** Why the last fetch failed; undefined after one that did not. */
  #failure: string | undefined
  #current: Promise<boolean> | undefined
  #upcoming: Promise<boolean> | undefined

  /** @param algorithms the accepted ones; other keys are not used */
  constructor(url: string, algorithms: readonly string[], log: FastifyBaseLogger, clock: Clock = systemClock) {
    this.#url = url
    this.#algorithms = algorithms
    this.#log = log
    this.#clock = clock
    void this.#keepFresh()
  }

  get version(): number {
    return this.#version
  }

  /** Whether there is any key, without which no token can be judged. */
  hasKeys(): boolean {
    return this.#keys.size > 0
  }

  /** Keys that are held, fetches and those that failed so far, and seconds since the last that did not. */
  stats() {
    const ageSeconds = (this.#clock.now() - this.#fetchedAt) / 1000
    return { held: this.#keys.size, fetches: this.#fetches, failures: this.#failures, ageSeconds }
  }

  /** Ends the fetch in flight and makes no more; those who wait get what there is. */
  close(): void {
    this.#closing.abort()
  }

  /** Without a kid (it is optional: RFC 7515 section 4.1.4) a token is for the only key of its algorithm. */
  held({ kid, alg }: Token['header']): Key | Promise<Key> | ProblemCode | undefined {
    if (kid !== undefined) return this.#keys.get(kid as string)?.prepared()
    const fitting = [...this.#keys.values()].filter(({ algorithm }) => algorithm === alg)
    return fitting.length > 1 ? 'token_key' : fitting[0]?.prepared()
  }

  /** Waits at most 4 s. */
  async ask(header: Token['header']): Promise<Key | ProblemCode> {
    // The fetch in flight mostly brings the key, but it may have begun before the key was published.
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

  /** Until so many milliseconds are over, or the store is closed. */
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

  #replace(next: Map<string | undefined, HeldKey>): void {
    const before = this.#keys
    this.#keys = next
    this.#version++
    for (const [kid, key] of before) if (next.get(kid) !== key) key.withdraw()
  }

  #hold(key: PublishedKey): HeldKey {
    const held = this.#keys.get(key.kid)
    // The same key stays the same object, and so do the verdicts that were reached with it.
    return held?.pem === key.pem && held.algorithm === key.algorithm ? held : new HeldKey(key)
  }

  async #update(signal: AbortSignal): Promise<void> {
    const fetched = await download(this.#url, signal)
    if (fetched === this.#text) return
    const set = await readKeySet(fetched, this.#algorithms)
    this.#replace(new Map(set.keys.map((key) => [key.kid, this.#hold(key)])))
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
    // Told once, and again when it is another: a proxy that starts before the issuer answers 502 first, and then 404.
    if (reason !== this.#failure && !this.#closing.signal.aborted)
      this.#log.warn({ url: this.#url, reason }, 'published keys cannot be fetched')
    this.#failure = reason
    this.#failures++
    if (this.hasKeys() && this.#clock.now() - this.#fetchedAt >= MAX_AGE_MS) {
      const hours = MAX_AGE_MS / 3_600_000
      this.#log.error({ hours }, 'published keys could not be fetched for too long: no longer used')
      this.#replace(new Map())
      this.#text = undefined
    }
    return false
  }

  /** Fetches once; whether that brought keys. */
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

  /** The next fetch to start, one for all who ask before it does. */
  #refresh(): Promise<boolean> {
    this.#upcoming ??= this.#inTurn()
    return this.#upcoming
  }

  async #keepFresh(): Promise<void> {
    let retry = RETRY_MIN_MS
    while (!this.#closing.signal.aborted) {
      const done = await this.#refresh()
      await this.#pause(done ? REFRESH_MS : retry)
      retry = done ? RETRY_MIN_MS : Math.min(2 * retry, RETRY_MAX_MS)
    }
  }
}
