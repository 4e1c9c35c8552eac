import type { Owner } from '../auth/user.ts'
import type { Member } from './members.ts'
import type { Batch, Values } from './schemas.ts'
import type { Store } from './store.ts'

/** `app.storage`. */
export interface Quota {
  hasRoom(owner: Owner, bytes: number): Promise<boolean>
  freed(owner: Owner): void
}

/** The most that a row takes besides its members of variable size. */
const ROW_BYTES = 400

const sum = <T>(values: T[], bytes: (value: T) => number) => values.reduce((sum, value) => sum + bytes(value), 0)

/** The bytes of a member of variable size. */
const bytesOf = (value: unknown): number => {
  if (value === undefined || value === null) return 0
  return Buffer.byteLength(typeof value === 'string' ? value : JSON.stringify(value))
}

/** Finds out whether users may store what they send, by their storage quota. */
export class Size {
  readonly #quota: Quota
  readonly #store: Store
  readonly #sized: readonly string[]

  constructor(quota: Quota, store: Store, members: readonly Member[]) {
    this.#quota = quota
    this.#store = store
    this.#sized = members.filter(({ kind }) => kind.sized).map(({ name }) => name)
  }

  /**
   * Whether a user may store what the creates and updates of a batch bring. Updates that make the items no larger are
   * for everybody. Ask before a transaction begins.
   */
  async fits(owner: Owner, { create = [], update = [] }: Batch): Promise<boolean> {
    const bytes =
      sum(create, (item) => ROW_BYTES + this.#bytes(item)) + sum(update, ({ change }) => this.#bytes(change))
    if (bytes === 0 || (await this.#quota.hasRoom(owner, bytes))) return true
    if (create.length > 0 || (await this.#grows(owner, update))) return false
    this.#quota.freed(owner)
    return true
  }

  /** What the user has stored became less. */
  freed(owner: Owner): void {
    this.#quota.freed(owner)
  }

  #bytes(values: Values): number {
    let bytes = 0
    for (const name of this.#sized) bytes += bytesOf(values[name])
    return bytes
  }

  /** Whether updates make the items that there are larger. */
  async #grows(owner: Owner, updates: NonNullable<Batch['update']>): Promise<boolean> {
    const found = await this.#store.getAll(
      owner,
      updates.map(({ id }) => id)
    )
    const items = new Map(found.map(({ id, json }) => [id, JSON.parse(json) as Values]))
    const before = sum([...items.values()], (item) => this.#bytes(item))
    for (const { id, change } of updates) {
      const item = items.get(id.toLowerCase())
      if (item !== undefined) items.set(id.toLowerCase(), { ...item, ...change })
    }
    return sum([...items.values()], (item) => this.#bytes(item)) > before
  }
}
