import { Listeners } from './listeners.ts'
import type { Row } from './types.ts'
import type { Members } from './values.ts'

/** A write that the service has not answered yet. */
export type Pending = { since: number } & (
  | { kind: 'create'; id: string; members: Members }
  /** `version` is that of the precondition, after which the item shows whether the write was done. */
  | { kind: 'change'; id: string; members: Members; version: number | undefined }
  | { kind: 'remove'; id: string }
)

type Distribute<T> = T extends unknown ? Omit<T, 'since'> : never
export type Write = Distribute<Pending>

/** What a write did. */
export interface Done {
  items: readonly Row[]
  gone: readonly string[]
  /** When the request was sent: an answer to a later request is newer. */
  since: number
}

/** The writes of a resource. Live queries show them before they are answered, and what they did afterwards. */
export class Writes {
  readonly #listeners = new Listeners<Done | undefined>()
  #pending: readonly Pending[] = []
  #clock = 0

  get pending(): readonly Pending[] {
    return this.#pending
  }

  /** Numbers what happens in this tab, to tell an answer from what became known after its request. */
  tick(): number {
    return ++this.#clock
  }

  /** @param listener told when a write begins, when it has failed, and what it did */
  subscribe(listener: (done: Done | undefined) => void): () => void {
    return this.#listeners.add(listener)
  }

  /**
   * Runs writes, which are pending meanwhile.
   *
   * @param did says what the result of `work` means for items
   */
  async track<T>(
    writes: readonly Write[],
    work: () => Promise<T>,
    did: (result: T) => Omit<Done, 'since'>
  ): Promise<T> {
    const since = this.tick()
    const mine: Pending[] = writes.map((write) => ({ ...write, since }))
    this.#pending = [...this.#pending, ...mine]
    this.#listeners.tell(undefined)
    let done: Done | undefined
    try {
      const result = await work()
      done = { ...did(result), since }
      return result
    } finally {
      this.#pending = this.#pending.filter((pending) => !mine.includes(pending))
      this.#listeners.tell(done)
    }
  }

  /** Tells what a read found, which may be newer than what the live queries have. */
  found(items: readonly Row[], since: number): void {
    this.#listeners.tell({ items, gone: [], since })
  }
}
