import { signedOut, unanswered } from './problem.ts'
import { orAborted } from './time.ts'

/** Returns a new token for the service, or null when nobody is signed in. */
export type FetchToken = () => Promise<string | null>

/** A token as the service verifies it, and what its claims say. */
export interface Token {
  text: string
  subject: string | undefined
  /** When to ask for the next one, in milliseconds by the clock of this machine. */
  renewAt: number
  /** Milliseconds to add to the clock of this machine, which may be wrong. */
  skew: number
}

/** A token is renewed so long before it expires, or after 4 fifths of a short life. */
const MARGIN_MS = 30_000

/** A clock that goes back by more was wrong before. */
const STEP_MS = 60_000

/** The function `token` must answer within this time. */
const FETCH_MS = 15_000

function claimsOf(text: string): { sub?: string; iat?: number; exp?: number } {
  try {
    // A subject is compared, and not shown. So its bytes need not be decoded as UTF-8.
    return JSON.parse(atob((text.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/')))
  } catch {
    return {}
  }
}

/**
 * Reads a token that just came. The clock of this machine counts only where it is plausible: when it is an hour fast,
 * every new token looks expired.
 */
function readToken(text: string): Token {
  const { sub, iat, exp } = claimsOf(text)
  const now = Date.now()
  const issued = 1000 * (Number(iat) || 0)
  const expires = 1000 * (Number(exp) || Number.POSITIVE_INFINITY)
  const life = expires - issued
  const skew = Math.min(Math.max(now, issued), expires) - now
  const age = skew === 0 ? now - issued : 0
  return {
    text,
    subject: sub,
    renewAt: now + life - age - Math.min(MARGIN_MS, life / 5),
    skew
  }
}

/** Holds the token of one user. One request for a token is in flight at most, however many callers wait for it. */
export class TokenSource {
  readonly #fetch: FetchToken
  readonly #onEnd: () => void
  #token: Token | undefined
  /** The user, as far as a token has said so. */
  subject: string | undefined
  #fetching: Promise<Token> | undefined
  ended = false
  #now = 0

  /** @param onEnd called once, when the user has signed out or another one has signed in */
  constructor(fetch: FetchToken, onEnd: () => void) {
    this.#fetch = fetch
    this.#onEnd = onEnd
  }

  /** @throws `signed_out`, `token_unavailable` */
  async get(): Promise<Token> {
    if (this.ended) throw signedOut()
    const token = this.#token
    if (token !== undefined && Date.now() < token.renewAt) return token
    // A token that is about to expire is still good while the issuer is down.
    return this.#renewed().catch((error) => {
      if (token === undefined || token !== this.#token || this.ended) throw error
      return token
    })
  }

  /** Forgets a token that the service refused, unless there is a newer one. */
  refuse(token: Token): void {
    if (token === this.#token) this.#token = undefined
  }

  /** Ends the session in this tab: every caller gets `signed_out` from now on. */
  end(): void {
    if (this.ended) return
    this.ended = true
    this.#token = undefined
    this.#onEnd()
  }

  /**
   * The time by the clock of the issuer, as far as it is known, in milliseconds. Each call returns a later one, so that
   * ids that are made of it are in the order in which they were made.
   */
  now(): number {
    const now = Date.now() + (this.#token?.skew ?? 0)
    // A clock that was set back, or that a first token corrects, counts from there.
    this.#now = this.#now > now + STEP_MS ? now : Math.max(this.#now + 1, now)
    return this.#now
  }

  #renewed(): Promise<Token> {
    this.#fetching ??= this.#ask().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  async #ask(): Promise<Token> {
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(), FETCH_MS)
    const text = await orAborted(Promise.resolve().then(this.#fetch), late.signal)
      .catch((error) => {
        throw unanswered('token_unavailable', 'The sign-in server does not answer', error)
      })
      .finally(() => clearTimeout(timer))
    const token = text === null || text === undefined ? undefined : readToken(text)
    // One client is for one user. What it holds must not reach the next one.
    if (token === undefined || (this.subject !== undefined && token.subject !== this.subject)) this.end()
    if (token === undefined || this.ended) throw signedOut()
    this.subject = token.subject
    this.#token = token
    return token
  }
}
