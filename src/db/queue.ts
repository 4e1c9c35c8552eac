import type { Owner } from '../auth/user.ts'

/** What waits for several owners, served in turn: one owner's first, then the next owner's first, so that a burst delays others by one. */
export class FairQueue<T extends { owner: Owner }> {
  // A map keeps the order in which its keys were set, which is the order of the turns.
  readonly #byOwner = new Map<Owner, T[]>()
  #size = 0

  get size(): number {
    return this.#size
  }

  push(item: T): void {
    const items = this.#byOwner.get(item.owner)
    if (items === undefined) this.#byOwner.set(item.owner, [item])
    else items.push(item)
    this.#size++
  }

  /** The first item of the owner whose turn it is, of those who `may` have theirs now. */
  peek(may: (owner: Owner) => boolean): T | undefined {
    for (const [owner, [first]] of this.#byOwner) if (may(owner)) return first
    return undefined
  }

  /** Takes out the item that `peek` returned. Its owner's next turn comes after everybody else's. */
  take({ owner }: T): void {
    const [, ...rest] = this.#byOwner.get(owner) ?? []
    this.#byOwner.delete(owner)
    if (rest.length > 0) this.#byOwner.set(owner, rest)
    this.#size--
  }

  /** Takes out what `isOver` says it of. */
  prune(isOver: (item: T) => boolean): void {
    for (const [owner, items] of this.#byOwner) {
      const rest = items.filter((item) => !isOver(item))
      this.#size -= items.length - rest.length
      if (rest.length > 0) this.#byOwner.set(owner, rest)
      else this.#byOwner.delete(owner)
    }
  }
}
