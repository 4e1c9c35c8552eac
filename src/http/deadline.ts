/**
 * The time in which one request must be answered. Work for the request checks the deadline before it begins, so that no
 * work begins after the client has stopped waiting.
 */
export class Deadline {
  /** When the time is up, in milliseconds on the clock of `performance.now()`. */
  readonly at: number
  #over = false
  #cancel: (() => void) | undefined

  /** @param at when the time is up, on the clock of `performance.now()` */
  constructor(at: number) {
    this.at = at
  }

  /** Whether the request needs no more work: it was answered, its client left, or its time is up. */
  get over(): boolean {
    return this.#over || performance.now() >= this.at
  }

  /**
   * The function that stops the work in flight when the time is up. A new function replaces the one before it.
   * Undefined when the work is done.
   */
  set cancel(cancel: (() => void) | undefined) {
    this.#cancel = cancel
  }

  /** Call this when the request was answered or its client left. Work in flight continues. */
  close(): void {
    this.#over = true
  }

  /** Call this when the time is up. It stops the work in flight. */
  expire(): void {
    if (this.#over) return
    this.#over = true
    this.#cancel?.()
  }
}
