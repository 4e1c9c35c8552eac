/** How often a connection that owes an answer is checked for one. */
export const WATCHDOG_CHECK_MS = 500

/**
 * A watchdog timer: it notices that a server answers nothing for too long. A host that vanishes resets nothing, and the
 * kernel goes on sending for a quarter of an hour; Node.js has no option for TCP_USER_TIMEOUT.
 *
 * Checks are counted, not milliseconds: a process that was held up reads first what came meanwhile.
 */
export class Watchdog {
  readonly #limitMs: number
  readonly #onTimeout: () => void
  #unanswered = 0
  #checks = 0
  #isRunning = false

  /** @param limitMs in milliseconds; `Infinity` for no limit */
  constructor(limitMs: number, onTimeout: () => void) {
    this.#limitMs = limitMs
    this.#onTimeout = onTimeout
  }

  sent(): void {
    this.#unanswered++
    if (this.#isRunning || this.#limitMs === Number.POSITIVE_INFINITY) return
    this.#isRunning = true
    this.#checks = 0
    setTimeout(this.#check, WATCHDOG_CHECK_MS)
  }

  answered(): void {
    this.#unanswered--
    this.#checks = 0
  }

  readonly #check = (): void => {
    this.#isRunning = this.#unanswered > 0
    if (!this.#isRunning) return
    if (++this.#checks * WATCHDOG_CHECK_MS < this.#limitMs) setTimeout(this.#check, WATCHDOG_CHECK_MS)
    else this.#onTimeout()
  }
}
