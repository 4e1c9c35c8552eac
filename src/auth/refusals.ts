import { hash } from 'node:crypto'
import { LruMap } from 'toad-cache'

/** Of some 250 bytes each. */
const MAX_REFUSALS = 10_000

/** What is known of a token that was refused, as long as the keys are those that it was refused with. */
export interface Refusal {
  readonly keysVersion: number
  /** Whether its signature was right; undefined when it was not checked. */
  readonly signed: boolean | undefined
  /**
   * When the issuer was asked for its keys again because of this token, on the clock of `performance.now()`; undefined
   * when it was not.
   */
  readonly askedAt: number | undefined
}

/**
 * Remembers refused tokens by a hash, so that one that comes again costs neither a signature check nor a fetch of the
 * keys. What its claims say is judged each time: a token may be early now and good in a minute.
 */
export class Refusals {
  readonly #refusals = new LruMap<Refusal>(MAX_REFUSALS)

  /** The refusal of a token with the keys of that version, if there was one. */
  find(token: string, keysVersion: number): Refusal | undefined {
    const refusal = this.#refusals.get(hash('sha256', token, 'base64'))
    return refusal?.keysVersion === keysVersion ? refusal : undefined
  }

  remember(token: string, refusal: Refusal): void {
    this.#refusals.set(hash('sha256', token, 'base64'), refusal)
  }
}
