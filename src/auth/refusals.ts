import { hash } from 'node:crypto'
import { LruMap } from 'toad-cache'

/** A refusal takes some 250 bytes. */
const MAX_REFUSALS = 10_000

/** What is known about a refused token. It holds only while the keys have the version `keysVersion`. */
export interface Refusal {
  readonly keysVersion: number
  /** Whether the signature was right; undefined when it was not checked. */
  readonly signed: boolean | undefined
  /**
   * When the keys were last fetched because of this token, on the clock of `performance.now()`; undefined when they
   * never were.
   */
  readonly askedAt: number | undefined
}

/**
 * Remembers refused tokens by their hash, so that a repeated token costs neither a signature check nor a fetch of the
 * keys. Its claims are checked each time: a token that is not valid yet may be valid in a minute.
 */
export class Refusals {
  readonly #refusals = new LruMap<Refusal>(MAX_REFUSALS)

  /** Returns the refusal of a token with keys of this version, if there was one. */
  find(token: string, keysVersion: number): Refusal | undefined {
    const refusal = this.#refusals.get(hash('sha256', token, 'base64'))
    return refusal?.keysVersion === keysVersion ? refusal : undefined
  }

  remember(token: string, refusal: Refusal): void {
    this.#refusals.set(hash('sha256', token, 'base64'), refusal)
  }
}
