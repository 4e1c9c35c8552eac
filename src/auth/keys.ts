import type { FastifyBaseLogger } from 'fastify'
import type { ProblemCode } from '../errors.ts'
import { KeySetError, type PublishedKey, readKeySet } from './jwk.ts'
import { signatureCheck } from './signature.ts'
import type { FindKey, Key } from './verifier.ts'

/** Time as the store sees it, so that a test can make it pass. */
export interface Clock {
  /** Milliseconds on a scale that never goes back. */
  now(): number
  /** Calls `run` after so many milliseconds, unless the returned function is called before. */
  after(ms: number, run: () => void): () => void
}

/** The keys that an issuer publishes. */
export interface KeyStore {
  /** The key that a header names. Asks the issuer when it is none of those held, and then waits at most 4 s. */
  find: FindKey
  /** Whether there is any key, without which no token can be judged. */
  hasKeys(): boolean
  /** Keys that are held, fetches and those that failed so far, and seconds since the last that did not. */
  figures(): { held: number; fetches: number; failures: number; ageSeconds: number }
  /** Ends the fetch in flight and makes no more; those who wait get what there is. */
  close(): void
}

/** For one fetch, its body included. Two of them, which an unknown kid may have to wait for, fit a request's 5 s. */
const FETCH_TIMEOUT_MS = 2000
/** Some 500 RSA keys. */
const MAX_BYTES = 256 * 1024
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

interface HeldKey extends Key, PublishedKey {
  readonly algorithm: PublishedKey['algorithm']
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** The text at `url`: of a 200, from nowhere else, and of bounded size. */
async function download(url: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(url, {
    // An answer that a cache between us and the issuer kept could be older than a key that is in use.
    headers: { accept: 'application/jwk-set+json, application/json', 'cache-control': 'no-cache' },
    // Whoever can make the issuer redirect could otherwise name the keys.
    redirect: 'error',
    signal
  })
  if (response.status !== 200) throw new KeySetError(`status ${response.status}`)
  const chunks: Uint8Array[] = []
  let bytes = 0
  // Null only for a status that has no body.
  for await (const chunk of response.body as ReadableStream<Uint8Array>) {
    bytes += chunk.length
    if (bytes > MAX_BYTES) throw new KeySetError('too large')
    chunks.push(chunk)
  }
  return utf8.decode(Buffer.concat(chunks))
}

/** Why a fetch failed, for the log: no stack, no URL. The reason of a network error is in its cause. */
function reasonOf(error: unknown): string {
  const { cause = error } = error as { cause?: unknown }
  const { code, message } = cause as NodeJS.ErrnoException
  return code ?? message
}

/**
 * Makes the store of the keys that are published at `url` (RFC 7517), and begins to fetch them. A set that was fetched
 * counts as a whole: what it lacks is withdrawn, and only an unreachable issuer leaves the old keys in use.
 *
 * @param algorithms the accepted ones; other keys are not used
 */
export function createKeyStore(
  url: string,
  algorithms: readonly string[],
  log: FastifyBaseLogger,
  clock: Clock = systemClock
): KeyStore {
  let keys = new Map<string | undefined, HeldKey>()
  /** What `keys` were read from. */
  let text: string | undefined
  let fetchedAt = 0
  let fetches = 0
  let failures = 0
  let startedAt = Number.NEGATIVE_INFINITY
  let failing = false
  let current: Promise<boolean> | undefined
  let upcoming: Promise<boolean> | undefined
  const closing = new AbortController()

  /** Until so many milliseconds are over, or the store is closed. */
  const pause = (ms: number) =>
    new Promise<void>((resolve) => {
      if (closing.signal.aborted) return resolve()
      const end = () => {
        cancel()
        closing.signal.removeEventListener('abort', end)
        resolve()
      }
      const cancel = clock.after(ms, end)
      closing.signal.addEventListener('abort', end)
    })

  function replace(next: Map<string | undefined, HeldKey>): void {
    for (const [kid, key] of keys) if (next.get(kid) !== key) key.withdrawn = true
    keys = next
  }

  async function hold(key: PublishedKey): Promise<HeldKey> {
    const held = keys.get(key.kid)
    // The same key stays the same object, and so do the verdicts that were reached with it.
    if (held?.pem === key.pem && held.algorithm === key.algorithm) return held
    return { ...key, withdrawn: false, signed: await signatureCheck(key.pem, key.algorithm) }
  }

  async function update(signal: AbortSignal): Promise<void> {
    const fetched = await download(url, signal)
    if (fetched === text) return
    const set = readKeySet(fetched, algorithms)
    const next = new Map<string | undefined, HeldKey>()
    for (const key of set.keys) next.set(key.kid, await hold(key))
    replace(next)
    text = fetched
    for (const key of set.ignored) log.warn(key, 'published key ignored')
    const kids = set.keys.map(({ kid }) => kid)
    if (kids.length > 0) log.info({ keys: kids.length, kids }, 'published keys obtained')
    else log.warn('no usable key is published: no token can be verified')
  }

  function succeeded(): boolean {
    fetchedAt = clock.now()
    if (failing) log.info('published keys can be fetched again')
    failing = false
    return keys.size > 0
  }

  function failed(error: unknown): boolean {
    if (!failing && !closing.signal.aborted) log.warn({ reason: reasonOf(error) }, 'published keys cannot be fetched')
    failing = true
    failures++
    if (keys.size > 0 && clock.now() - fetchedAt >= MAX_AGE_MS) {
      log.error({ hours: MAX_AGE_MS / 3_600_000 }, 'published keys could not be fetched for too long: no longer used')
      replace(new Map())
      text = undefined
    }
    return false
  }

  /** Fetches once; whether that brought keys. */
  async function attempt(): Promise<boolean> {
    startedAt = clock.now()
    fetches++
    const timeout = new AbortController()
    const stop = () => timeout.abort(new KeySetError('no whole answer in time'))
    const cancel = clock.after(FETCH_TIMEOUT_MS, stop)
    closing.signal.addEventListener('abort', stop)
    const done = await update(timeout.signal).then(succeeded, failed)
    cancel()
    closing.signal.removeEventListener('abort', stop)
    return done
  }

  async function inTurn(): Promise<boolean> {
    await current
    const wait = startedAt + COOLDOWN_MS - clock.now()
    if (wait > 0) await pause(wait)
    upcoming = undefined
    if (closing.signal.aborted) return false
    current = attempt()
    const done = await current
    current = undefined
    return done
  }

  /** The next fetch to start, one for all who ask before it does. */
  function refresh(): Promise<boolean> {
    upcoming ??= inTurn()
    return upcoming
  }

  async function keepFresh(): Promise<void> {
    let retry = RETRY_MIN_MS
    while (!closing.signal.aborted) {
      const done = await refresh()
      await pause(done ? REFRESH_MS : retry)
      retry = done ? RETRY_MIN_MS : Math.min(2 * retry, RETRY_MAX_MS)
    }
  }

  /**
   * The held key for a header, or why there can be none. Without a kid (it is optional: RFC 7515 section 4.1.4) a token is
   * for the only key of its algorithm.
   */
  function held({ kid, alg }: { kid?: unknown; alg?: unknown }): Key | ProblemCode | undefined {
    if (kid !== undefined) return keys.get(kid as string)
    const fitting = [...keys.values()].filter(({ algorithm }) => algorithm === alg)
    return fitting.length > 1 ? 'token_key' : fitting[0]
  }

  async function ask(header: Parameters<FindKey>[0]): Promise<Key | ProblemCode> {
    // The fetch in flight mostly brings the key, but it may have begun before the key was published.
    const inFlight = current
    if (inFlight !== undefined) {
      if (!(await inFlight)) return held(header) ?? 'keys_unavailable'
      const key = held(header)
      if (key !== undefined) return key
    }
    const done = await refresh()
    return held(header) ?? (done ? 'token_key' : 'keys_unavailable')
  }

  void keepFresh()

  return {
    find: (header) => held(header) ?? ask(header),
    hasKeys: () => keys.size > 0,
    figures: () => ({ held: keys.size, fetches, failures, ageSeconds: (clock.now() - fetchedAt) / 1000 }),
    close: () => closing.abort()
  }
}
