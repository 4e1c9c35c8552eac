/**
 * The time in which one request must be answered. Work for the request asks it before it begins, so that nothing is
 * begun that nobody waits for.
 */
export class Deadline {
  /** On the clock of `performance.now()`, milliseconds. */
  readonly at: number
  #over = false
  #cancel: (() => void) | undefined

  /** @param at when the time is up, on the clock of `performance.now()` */
  constructor(at: number) {
    this.at = at
  }

  /** Whether nobody waits for the request any more: it was answered, its client left, or its time is up. */
  get over(): boolean {
    return this.#over || performance.now() >= this.at
  }

  /**
   * Registers what stops the work in flight when the time is up. The last one counts; undefined when the work is done.
   */
  set cancel(cancel: (() => void) | undefined) {
    this.#cancel = cancel
  }

  /** The request was answered, or its client left: work in flight goes on to its end. */
  close(): void {
    this.#over = true
  }

  /** The time is up: work in flight is stopped. */
  expire(): void {
    if (this.#over) return
    this.#over = true
    this.#cancel?.()
  }
}
