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
  #stopped = 1

  constructor(kind: Kind, connections: number) {
    this.#kind = kind
    // A transaction may have several statements that went stale.
    this.#stale = Math.max(4, connections)
    this.#broken = kind === 'read' || kind === 'scan' ? 1 : 0
  }

  /**
   * What failed because of what its connection was used for before is done once more, as many times as there are
   * connections, and four times at least: it failed before it did anything. A read whose connection broke is done once
   * more too; of a write nobody knows whether it was done. What was on a connection that was stopped for another
   * request was not sent, or was cancelled.
   */
  allow(error: unknown, slot: Slot): boolean {
    if (codeOf(error) === DEADLINE_OVER.code) return this.#stopped-- > 0
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
