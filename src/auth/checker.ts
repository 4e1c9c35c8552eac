import type { ProblemCode } from '../http/problems.ts'
import type { VerificationBudget } from '../limits/verification-budget.ts'
import type { Key } from './key.ts'
import { Refusals } from './refusals.ts'
import type { Token } from './token.ts'
import type { Candidate, Verdict, Verifier } from './verifier.ts'
import type { Waiters } from './waiters.ts'

/** The keys that tokens are checked with. */
export interface KeySource {
  /** Changes whenever the keys change. */
  readonly version: number
  /** Whether at least one key is held. Without a key no token can be verified. */
  hasKeys(): boolean
  /**
   * Returns the held key for a token header: a promise when the key was not used before, a problem when the held keys
   * cannot verify such a token, undefined when the issuer may have the key.
   */
  held(header: Token['header']): Key | Promise<Key> | ProblemCode | undefined
  /** Asks the issuer for a key that `held` does not have. */
  ask(header: Token['header']): Key | ProblemCode | Promise<Key | ProblemCode>
  /**
   * Fetches the keys again, since the issuer may have replaced a key under the same kid, or under none. Returns
   * undefined when such a fetch was made recently. Resolves to whether the fetch began after this call.
   */
  recheck(): Promise<boolean> | undefined
}

/** The outcome of a check, or why none was made: the address has no checks left, or too many requests wait for keys. */
export type Conclusion = Verdict | ProblemCode | 'no_checks_left' | 'no_place_left'

/**
 * The least time between two fetches that wrong signatures cause, unless the key set changed. Issuers rarely replace a
 * key under its kid. A client that sends forged tokens all day must not keep the issuer busy and others waiting.
 */
export const RECHECK_MS = 30_000

/** Problems that a token may not have with another key set. */
const KEY_PROBLEMS: ReadonlySet<Conclusion> = new Set<Conclusion>(['token_signature', 'token_algorithm', 'token_key'])

/**
 * Checks tokens that are not in the verifier's cache. A failed check counts against the address of its request. Waiting
 * for a fetch of the keys does not count, but the number of waiting requests is bounded.
 */
export class TokenChecker {
  readonly #verifier: Verifier
  readonly #keys: KeySource
  readonly #budget: VerificationBudget
  readonly #waiters: Waiters
  readonly #refusals = new Refusals()

  constructor(verifier: Verifier, keys: KeySource, budget: VerificationBudget, waiters: Waiters) {
    this.#verifier = verifier
    this.#keys = keys
    this.#budget = budget
    this.#waiters = waiters
  }

  /** Returns a promise only when a key is used for the first time or the issuer must be asked. */
  check(candidate: Candidate, address: string): Conclusion | Promise<Conclusion> {
    const { header } = candidate.token
    const key = this.#keys.held(header)
    if (key === undefined) {
      return this.#wait(address, async () => this.#checkWith(await this.#keys.ask(header), candidate, address))
    }
    const check = (key: Key | ProblemCode) => {
      const conclusion = this.#checkWith(key, candidate, address)
      return KEY_PROBLEMS.has(conclusion) ? this.#checkAgain(conclusion, candidate, address) : conclusion
    }
    return key instanceof Promise ? key.then(check) : check(key)
  }

  async #wait(address: string, ask: () => Promise<Conclusion>): Promise<Conclusion> {
    if (!this.#waiters.tryEnter(address)) return 'no_place_left'
    try {
      return await ask()
    } finally {
      this.#waiters.leave(address)
    }
  }

  /**
   * Checks a refused token again with newly fetched keys. An issuer may replace a key under the same kid, or under
   * none. Then the held key is wrong, not the token.
   */
  #checkAgain(refused: Conclusion, candidate: Candidate, address: string): Conclusion | Promise<Conclusion> {
    const { version } = this.#keys
    const refusal = this.#refusals.find(candidate.text, version)
    const askedAt = refusal?.askedAt ?? Number.NEGATIVE_INFINITY
    // The last fetch may have returned an old key set from a cache, so ask the issuer again after a while.
    const recheck = performance.now() - askedAt < RECHECK_MS ? undefined : this.#keys.recheck()
    if (recheck === undefined) return refused
    return this.#wait(address, async () => {
      const beganAfterwards = await recheck
      if (this.#keys.version === version) {
        const askedAt = beganAfterwards ? performance.now() : undefined
        this.#refusals.remember(candidate.text, { keysVersion: version, signed: refusal?.signed, askedAt })
        return refused
      }
      const key = await (this.#keys.held(candidate.token.header) ?? 'token_key')
      const conclusion = this.#checkWith(key, candidate, address)
      // The first check failed because our keys were old, so it does not count against the address.
      if (typeof conclusion !== 'string') this.#budget.release(address)
      return conclusion
    })
  }

  #checkWith(key: Key | ProblemCode, candidate: Candidate, address: string): Conclusion {
    if (typeof key === 'string') return key
    if (key.algorithm !== candidate.token.header.alg) return 'token_algorithm'
    const { version: keysVersion } = this.#keys
    const known = this.#refusals.find(candidate.text, keysVersion)
    if (known?.signed === false) return 'token_signature'
    if (known?.signed) return this.#verifier.judge(candidate, key)
    if (!this.#budget.tryAcquire(address)) return 'no_checks_left'
    const began = performance.now()
    const signed = this.#verifier.isSigned(candidate, key)
    const conclusion = signed ? this.#verifier.judge(candidate, key) : 'token_signature'
    if (typeof conclusion === 'string') {
      this.#budget.charge(address, performance.now() - began)
      this.#refusals.remember(candidate.text, { keysVersion, signed, askedAt: undefined })
    } else {
      this.#budget.release(address)
    }
    return conclusion
  }
}
