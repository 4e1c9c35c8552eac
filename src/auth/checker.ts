import type { ProblemCode } from '../http/problems.ts'
import type { VerificationBudget } from '../limits/verification-budget.ts'
import type { Key } from './key.ts'
import { Refusals } from './refusals.ts'
import type { Token } from './token.ts'
import type { Candidate, Verdict, Verifier } from './verifier.ts'
import type { Waiters } from './waiters.ts'

/** The keys that tokens are checked with. */
export interface KeySource {
  /** Changes with the keys. */
  readonly version: number
  /** Whether there is any key. Without one no token can be judged. */
  hasKeys(): boolean
  /**
   * The key for a header, a promise when it was not used before, or why it is none of those held; undefined when the
   * issuer may have it.
   */
  held(header: Token['header']): Key | Promise<Key> | ProblemCode | undefined
  /** Asks the issuer for the key of a header that `held` has none for. */
  ask(header: Token['header']): Key | ProblemCode | Promise<Key | ProblemCode>
  /**
   * Asks whether the issuer replaced a key under its kid, or under none; undefined when that was asked of late. It
   * resolves to whether the fetch began after this call.
   */
  recheck(): Promise<boolean> | undefined
}

/** The outcome of a check, or why there was none: the address used its checks up, or too many wait for the keys. */
export type Conclusion = Verdict | ProblemCode | 'no_checks_left' | 'no_place_left'

/**
 * From one fetch that a wrong signature caused to the next, unless the set changed: issuers rarely replace a key under
 * its kid, and whoever sends forged tokens all day must not keep the issuer busy and others waiting.
 */
export const RECHECK_MS = 30_000

/** Problems of a token that keys other than those held would not have. */
const KEY_PROBLEMS: ReadonlySet<Conclusion> = new Set<Conclusion>(['token_signature', 'token_algorithm', 'token_key'])

/**
 * Checks tokens that are not known yet. A check that fails counts against the address of its request. Waiting for a
 * fetch of the keys does not count, but the places for it are bounded.
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

  /** Answers at once, without a promise, unless a key is used for the first time or the issuer must be asked. */
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

  /** An issuer may replace a key under the same kid, or under none: then the held one is wrong, and not the token. */
  #checkAgain(refused: Conclusion, candidate: Candidate, address: string): Conclusion | Promise<Conclusion> {
    const { version } = this.#keys
    const refusal = this.#refusals.find(candidate.text, version)
    const askedAt = refusal?.askedAt ?? Number.NEGATIVE_INFINITY
    // A cache may have answered the set of before, so the issuer is asked again after a while.
    const fetched = performance.now() - askedAt < RECHECK_MS ? undefined : this.#keys.recheck()
    if (fetched === undefined) return refused
    return this.#wait(address, async () => {
      const asked = await fetched
      if (this.#keys.version === version) {
        const askedAt = asked ? performance.now() : undefined
        this.#refusals.remember(candidate.text, { keysVersion: version, signed: refusal?.signed, askedAt })
        return refused
      }
      const key = await (this.#keys.held(candidate.token.header) ?? 'token_key')
      const conclusion = this.#checkWith(key, candidate, address)
      // The first check failed because of us.
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
