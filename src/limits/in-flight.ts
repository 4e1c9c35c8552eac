/** Milliseconds of repeated refusals after which the instance is overloaded, and therefore not ready. */
const OVERLOADED_MS = 3000

/** Milliseconds without a refusal after which the instance is no longer overloaded. */
const RELIEVED_MS = 1000

/** Counts the requests in flight. A request is in flight until it is answered or its client left. */
export class InFlight {
  readonly #max: number
  #count = 0
  #fullSince = Number.NEGATIVE_INFINITY
  #refusedAt = Number.NEGATIVE_INFINITY

  /** @param max the cap on requests in flight */
  constructor(max: number) {
    this.#max = max
  }

  get count(): number {
    return this.#count
  }

  /** Whether one more request may enter. */
  get hasRoom(): boolean {
    return this.#count < this.#max
  }

  enter(): void {
    this.#count++
  }

  leave(): void {
    this.#count--
  }

  /** Records that a request was refused because the cap is reached. */
  refuse(): void {
    const now = performance.now()
    if (now - this.#refusedAt > RELIEVED_MS) this.#fullSince = now
    this.#refusedAt = now
  }

  /** Whether requests have been refused for `OVERLOADED_MS` and still are. */
  get overloaded(): boolean {
    const now = performance.now()
    return now - this.#refusedAt <= RELIEVED_MS && now - this.#fullSince >= OVERLOADED_MS
  }
}
