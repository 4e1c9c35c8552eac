import { draftOf, type Rules } from './rules.ts'
import type { Row } from './types.ts'
import { keepNewest, type Members } from './values.ts'
import type { Pending } from './writes.ts'

/** The deletions that are remembered. The oldest are forgotten. */
const GONE_MAX = 1000

/** What a live query shows. */
export interface Shown<Item> {
  rows: readonly Item[]
  /** The ids of the items that are shown as a pending write will make them. */
  pending: ReadonlySet<string>
}

/**
 * The items that a live query knows, each in its newest version. `tick` numbers what happens: an answer is older than
 * what became known after its request.
 */
export class Rows<Item extends Row> {
  /** The items, when something last told of each, and when the stream told that it is there. */
  readonly #known = new Map<string, { item: Item; at: number; born: number }>()
  /** When a deletion became known. An answer to an earlier request must not bring the item back. */
  readonly #goneAt = new Map<string, number>()
  readonly #tick: () => number
  /** The last item of the last page that is loaded, as it was. Undefined when all pages are. */
  #edge: Item | undefined

  constructor(tick: () => number) {
    this.#tick = tick
  }

  /** Takes an item of an answer to a request that was sent at `since`. */
  answer(item: Item, since: number): void {
    if ((this.#goneAt.get(item.id) ?? 0) > since) return
    this.#goneAt.delete(item.id)
    this.#put(item)
  }

  /** Takes an item of the stream. */
  tell(item: Item, isNew: boolean): void {
    // An update that the stream tells after a deletion was before it. An item that is created again has the same id.
    if (isNew) this.#goneAt.delete(item.id)
    else if (this.#goneAt.has(item.id)) return
    this.#put(item, isNew && !this.#known.has(item.id) ? this.#tick() : 0)
  }

  /** @param since when the removal was asked for: an item that was created again since then stays */
  remove(id: string, since?: number): void {
    if (since !== undefined && (this.#known.get(id)?.born ?? 0) > since) return
    this.#known.delete(id)
    this.#goneAt.delete(id)
    this.#goneAt.set(id, this.#tick())
    keepNewest(this.#goneAt, GONE_MAX)
  }

  /** Takes pages after those that are loaded. */
  addPages(items: readonly Item[], isLast: boolean, since: number): void {
    for (const item of items) this.answer(item, since)
    this.#edge = isLast ? undefined : items.at(-1)
  }

  /** Forgets all pages, to take them anew. What the stream or a write told since then stays. */
  clear(since: number): void {
    for (const [id, { at }] of this.#known) if (at <= since) this.#known.delete(id)
  }

  /** The items of the query in its order, with the pending writes on top. */
  show(rules: Rules, writes: readonly Pending[]): Shown<Item> {
    const items = new Map(Array.from(this.#known, ([id, { item }]) => [id, item]))
    const pending = new Set<string>()
    for (const write of writes) if (this.#overlay(items, write, rules)) pending.add(write.id)
    const { matches, compare } = rules
    const by = (a: Item, b: Item) => compare(a as unknown as Members, b as unknown as Members)
    const edge = this.#edge
    const rows = [...items.values()]
      .filter((item) => matches(item as unknown as Members) && (edge === undefined || by(item, edge) <= 0))
      .sort(by)
    return { rows, pending }
  }

  #put(item: Item, born = 0): void {
    const known = this.#known.get(item.id)
    if ((known?.item.version ?? 0) > item.version) return
    this.#known.set(item.id, { item, at: this.#tick(), born: born || (known?.born ?? 0) })
  }

  /** Shows what a pending write will do. Returns whether that is not known to be done. */
  #overlay(items: Map<string, Item>, write: Pending, rules: Rules): boolean {
    const item = items.get(write.id)
    if (write.kind === 'remove') return items.delete(write.id)
    if (write.kind === 'change') {
      if (item === undefined || (write.version !== undefined && item.version > write.version)) return false
      items.set(write.id, { ...item, ...write.members })
      return true
    }
    if (item !== undefined || (this.#goneAt.get(write.id) ?? 0) > write.since) return false
    items.set(write.id, draftOf(rules, write.id, write.members) as Item)
    return true
  }
}
