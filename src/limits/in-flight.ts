/** A cap that was reached again and again for so long makes the instance not ready, milliseconds. */
const OVERLOADED_MS = 3000

/** Without a refusal for so long the cap was not reached, milliseconds. */
const RELIEVED_MS = 1000

/** Counts the requests in flight: those that are neither answered nor left by their client. */
export class InFlight {
  readonly #max: number
  #count = 0
  #fullSince = Number.NEGATIVE_INFINITY
  #refusedAt = Number.NEGATIVE_INFINITY

  /** @param max requests at once */
  constructor(max: number) {
    this.#max = max
  }

  get count(): number {
    return this.#count
  }

  /** Whether there is room for one more, now. */
  get hasRoom(): boolean {
    return this.#count < this.#max
  }

  enter(): void {
    this.#count++
  }

  leave(): void {
    this.#count--
  }

  /** A request was refused, because the cap is reached. */
  refuse(): void {
    const now = performance.now()
    if (now - this.#refusedAt > RELIEVED_MS) this.#fullSince = now
    this.#refusedAt = now
  }

  /** Whether requests have been refused for seconds, and still are. */
  get overloaded(): boolean {
    const now = performance.now()
    return now - this.#refusedAt <= RELIEVED_MS && now - this.#fullSince >= OVERLOADED_MS
  }
}
