import type { ProblemCode } from '../http/problems.ts'
import type { PublishedKey } from './jwk.ts'
import { Key } from './key.ts'
import { SignatureCheck } from './signature.ts'
import type { Token } from './token.ts'

/** A published key that the service holds. */
class HeldKey extends Key {
  readonly pem: string
  readonly #check: SignatureCheck

  constructor({ pem, algorithm }: PublishedKey) {
    const check = new SignatureCheck(pem, algorithm)
    super(algorithm, check.signed)
    this.pem = pem
    this.#check = check
  }

  /** Returns the key when it can check signatures, or else a promise of it. */
  prepared(): Key | Promise<Key> {
    return this.#check.isReady ? this : this.#check.prepare().then(() => this)
  }
}

/** The keys of the last published key set, by kid. */
export class HeldKeys {
  #keys = new Map<string | undefined, HeldKey>()
  #version = 0

  /** Changes whenever the keys change. */
  get version(): number {
    return this.#version
  }

  get size(): number {
    return this.#keys.size
  }

  /**
   * Returns the key for a token header. The kid is optional (RFC 7515 section 4.1.4): a token without one fits the only
   * key of its algorithm.
   */
  find({ kid, alg }: Token['header']): Key | Promise<Key> | ProblemCode | undefined {
    if (kid !== undefined) return this.#keys.get(kid as string)?.prepared()
    const fitting = [...this.#keys.values()].filter(({ algorithm }) => algorithm === alg)
    return fitting.length > 1 ? 'token_key' : fitting[0]?.prepared()
  }

  /** Holds a new key set, and withdraws the keys that it lacks. */
  replace(published: readonly PublishedKey[]): void {
    const before = this.#keys
    const next = new Map(published.map((key) => [key.kid, this.#hold(key)]))
    this.#keys = next
    this.#version++
    for (const [kid, key] of before) if (next.get(kid) !== key) key.withdraw()
  }

  /** Returns the held object for an unchanged key, so that verdicts that were reached with it stay valid. */
  #hold(key: PublishedKey): HeldKey {
    const held = this.#keys.get(key.kid)
    return held?.pem === key.pem && held.algorithm === key.algorithm ? held : new HeldKey(key)
  }
}
