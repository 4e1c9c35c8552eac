import type { Row } from './types.ts'
import type { Writes } from './writes.ts'

/** How much of what became known is remembered. */
const TOLD_MAX = 1000

/** An item as something told of it: null when it is gone. */
export interface Known {
  id: string
  item: Row | null
}

/** What became known of the items of each resource, by its writes. */
const told = new WeakMap<Writes, readonly (Known & { at: number })[]>()

const toldTo = (writes: Writes) => told.get(writes) ?? []

/** Remembers what became known of items, for loads that are on their way. */
export function remember(writes: Writes, items: readonly Known[]): void {
  const more = items.map((one) => ({ ...one, at: writes.tick() }))
  told.set(writes, [...toldTo(writes), ...more].slice(-TOLD_MAX))
}

/** What became known of items since then, oldest first. */
export const toldSince = (writes: Writes, since: number): readonly Known[] =>
  toldTo(writes).filter(({ at }) => at > since)
