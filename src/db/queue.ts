import type { Owner } from '../auth/user.ts'

/**
 * What waits for several owners, served in turn: one owner's first, then the next owner's first, so that a burst delays
 * others by one.
 */
export class FairQueue<T extends { owner: Owner }> {
  /** What each owner waits for, in the order of their turns. */
  #turns: T[][] = []
  readonly #byOwner = new Map<Owner, T[]>()

  get isEmpty(): boolean {
    return this.#turns.length === 0
  }

  get size(): number {
    return this.#turns.reduce((sum, items) => sum + items.length, 0)
  }

  /** Whether something of an owner waits. */
  has(owner: Owner): boolean {
    return this.#byOwner.has(owner)
  }

  push(item: T): void {
    const items = this.#byOwner.get(item.owner)
    if (items !== undefined) {
      items.push(item)
      return
    }
    const first = [item]
    this.#byOwner.set(item.owner, first)
    this.#turns.push(first)
  }

  /** The first item of the owner whose turn it is, of those whose first item `may` be taken now. */
  peek(may: (item: T) => boolean): T | undefined {
    for (const items of this.#turns) {
      const first = items[0] as T
      if (may(first)) return first
    }
    return undefined
  }

  /** Takes out the item that `peek` returned. Its owner's next turn comes after everybody else's. */
  take({ owner }: T): void {
    const items = this.#byOwner.get(owner) as T[]
    this.#turns.splice(this.#turns.indexOf(items), 1)
    items.shift()
    if (items.length > 0) this.#turns.push(items)
    else this.#byOwner.delete(owner)
  }

  /** Takes out what `isOver` says it of. */
  prune(isOver: (item: T) => boolean): void {
    const items = this.#turns.flat().filter((item) => !isOver(item))
    this.#turns = []
    this.#byOwner.clear()
    for (const item of items) this.push(item)
  }
}
