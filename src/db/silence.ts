/** How often a connection that owes an answer is checked for one. */
export const SILENCE_CHECK_MS = 500

/**
 * Notices that a server answers nothing for too long. A host that vanishes resets nothing, and the kernel goes on
 * sending for a quarter of an hour; Node.js has no option for TCP_USER_TIMEOUT.
 *
 * Checks are counted, not milliseconds: a process that was held up reads first what came meanwhile.
 */
export class Silence {
  readonly #limitMs: number
  readonly #onSilence: () => void
  #unanswered = 0
  #checks = 0
  #isWatched = false

  /** @param limitMs in milliseconds; `Infinity` for no limit */
  constructor(limitMs: number, onSilence: () => void) {
    this.#limitMs = limitMs
    this.#onSilence = onSilence
    this.#isWatched = limitMs === Number.POSITIVE_INFINITY
  }

  sent(): void {
    this.#unanswered++
    if (this.#isWatched) return
    this.#isWatched = true
    this.#checks = 0
    setTimeout(this.#check, SILENCE_CHECK_MS)
  }

  answered(): void {
    this.#unanswered--
    this.#checks = 0
  }

  readonly #check = (): void => {
    this.#isWatched = this.#unanswered > 0
    if (!this.#isWatched) return
    if (++this.#checks * SILENCE_CHECK_MS < this.#limitMs) setTimeout(this.#check, SILENCE_CHECK_MS)
    else this.#onSilence()
  }
}
