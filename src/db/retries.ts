import { codeOf, DEADLINE_OVER, isBroken, isStale, isStalePlan } from './errors.ts'
import type { Slot } from './slot.ts'

/** What is done: a read, a read whose cost grows with the rows of its owner, a write, or a transaction. */
export type Kind = 'read' | 'scan' | 'write' | 'transaction'

/** Whether what failed is done once more. */
export class Retries {
  readonly #kind: Kind
  readonly #refusedBy = new Set<Slot>()
  #stale: number
  #broken: number
  #stopped: number

  constructor(kind: Kind, connections: number, isDistributed: boolean) {
    this.#kind = kind
    // A transaction may have several statements that went stale.
    this.#stale = Math.max(4, connections)
    // A cancelled statement of Citus may have been committed on a worker.
    this.#stopped = isDistributed ? 0 : 1
    this.#broken = kind === 'read' || kind === 'scan' ? 1 : 0
  }

  /**
   * What failed because of what its connection was used for before is done once more, as many times as there are
   * connections, and four times at least: it failed before it did anything. A read whose connection broke is done once
   * more too; of a write nobody knows whether it was done. What was on a connection that was stopped for another
   * request was not sent, or was cancelled. It would come behind what its owner has sent since, so there must be none.
   *
   * @param isOnly whether its owner has nothing else in flight, and nothing that waits
   */
  allow(error: unknown, slot: Slot, isOnly: boolean): boolean {
    if (codeOf(error) === DEADLINE_OVER.code) return isOnly && this.#stopped-- > 0
    if (isBroken(error)) return this.#broken-- > 0
    return isStale(error) && !this.#isWrong(error, slot) && this.#stale-- > 0
  }

  /** Whether a connection refuses a statement again that it prepared anew. Then every connection refuses it. */
  #isWrong(error: unknown, slot: Slot): boolean {
    if (this.#kind === 'transaction' || !isStalePlan(error)) return false
    if (this.#refusedBy.has(slot)) return true
    this.#refusedBy.add(slot)
    return false
  }
}
