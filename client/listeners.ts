/** A set of listeners. What one of them throws reaches nobody else. */
export class Listeners<T> {
  readonly #all = new Set<(told: T) => void>()
  readonly #onIdle: () => void

  /** @param onIdle called when nobody listens any more */
  constructor(onIdle: () => void = () => {}) {
    this.#onIdle = onIdle
  }

  get size(): number {
    return this.#all.size
  }

  /** Returns what ends it. The same function may listen twice. */
  add(listener: (told: T) => void): () => void {
    const mine = (told: T) => listener(told)
    this.#all.add(mine)
    return () => {
      this.#all.delete(mine)
      // A component that is mounted again listens again in the same turn.
      setTimeout(() => this.size === 0 && this.#onIdle())
    }
  }

  tell(told: T): void {
    for (const listener of this.#all) {
      try {
        listener(told)
      } catch (error) {
        // It is reported as an error of the page.
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
}
