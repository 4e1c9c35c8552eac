import { Listeners } from './listeners.ts'
import type { Resource } from './resource.ts'
import { Rows, type Shown } from './rows.ts'
import { type Rules, rulesOf } from './rules.ts'
import type { Change } from './stream.ts'
import type { Row } from './types.ts'
import type { Members } from './values.ts'
import type { Done } from './writes.ts'

/** What a live query shows at a moment. It is another object after each change, and the same one until then. */
export interface Snapshot<Item> extends Shown<Item> {
  /** Whether the first page is here. */
  loaded: boolean
  /** Whether there are more pages: `more()` loads the next one. */
  hasMore: boolean
  /** Why the last load failed; undefined when it did not. The load is repeated when the stream is open
   * again. */
  error: unknown
  /** Whether changes arrive from elsewhere. */
  live: boolean
}

/** A list that stays current while somebody listens to it. */
export interface Live<Item> {
  /** Listens, as `useSyncExternalStore` does. Returns what ends it. */
  subscribe(listener: () => void): () => void
  getSnapshot(): Snapshot<Item>
  /** Loads the next page. Resolves when it is here or has failed (`error`). */
  more(): Promise<void>
  /** Loads all pages again that are loaded. */
  reload(): Promise<void>
}

class LiveQuery<Item extends Row, Query extends object> implements Live<Item> {
  readonly #resource: Resource<Item, object, object, Query>
  readonly #query: Query
  readonly #rows: Rows<Item>
  readonly #listeners = new Listeners<void>(() => this.#stop())
  readonly #collection: string
  #leave: (() => void)[] = []
  #rules: Rules | undefined
  #pages = 0
  #next: string | undefined
  #error: unknown
  /** How many loads there were. Only the result of the last one is taken. */
  #loads = 0
  #loading: Promise<void> | undefined
  #snapshot: Snapshot<Item> | undefined
  /** Whether the rows were loaded since somebody listens. What happened before was not told. */
  #isFresh = false

  constructor(resource: Resource<Item, object, object, Query>, query: Query) {
    this.#resource = resource
    this.#query = query
    this.#rows = new Rows(() => resource.writes.tick())
    this.#collection = resource.path.slice(resource.path.lastIndexOf('/') + 1)
  }

  subscribe = (listener: () => void): (() => void) => {
    const leave = this.#listeners.add(listener)
    if (this.#leave.length === 0) this.#start()
    // The client may have been closed in between: React runs effects twice in development.
    else this.#resource.service.changes.resume()
    return leave
  }

  getSnapshot = (): Snapshot<Item> => {
    this.#snapshot ??= {
      ...(this.#rules === undefined
        ? { rows: [], pending: new Set<string>() }
        : this.#rows.show(this.#rules, this.#resource.writes.pending)),
      loaded: this.#rules !== undefined,
      hasMore: this.#next !== undefined,
      error: this.#error,
      live: this.#resource.service.changes.live
    }
    return this.#snapshot
  }

  more = async (): Promise<void> => {
    // A page belongs to those before it, which may be on their way.
    while (this.#loading !== undefined) await this.#loading
    if (this.#next !== undefined) await this.#load(1, this.#next)
  }

  reload = (): Promise<void> => this.#load(this.#pages)

  /** Loads so many pages, at least one, after a cursor or from the first. */
  #load(count: number, cursor?: string): Promise<void> {
    const mine = ++this.#loads
    const load = async () => {
      const take = await this.#read(count, cursor)
      if (mine === this.#loads) take()
    }
    const end = (error?: unknown) => {
      if (mine !== this.#loads) return
      this.#error = error
      this.#loading = undefined
      this.#update()
    }
    this.#loading = load().then(() => end(), end)
    return this.#loading
  }

  /** Reads pages. Returns what takes them. */
  async #read(count: number, cursor?: string): Promise<() => void> {
    const { writes, service, path } = this.#resource
    const since = writes.tick()
    const [document, { items, pages, next }] = await Promise.all([service.document(), this.#readPages(count, cursor)])
    return () => {
      if (cursor === undefined) {
        this.#rules = rulesOf(document, path, this.#query as Members)
        this.#rows.clear(since)
        this.#pages = 0
        this.#isFresh = true
      }
      this.#rows.addPages(items, next === undefined, since)
      this.#next = next
      this.#pages += pages
    }
  }

  async #readPages(count: number, cursor: string | undefined) {
    const items: Item[] = []
    let [pages, next] = [0, cursor]
    do {
      const page = await this.#resource.page(this.#query, next)
      items.push(...page.items)
      next = page.next
      pages++
    } while (pages < count && next !== undefined)
    return { items, pages, next }
  }

  #start(): void {
    this.#isFresh = false
    const { writes, service } = this.#resource
    this.#leave = [
      writes.subscribe((done) => this.#onWrite(done)),
      service.changes.subscribe((change) => this.#onChange(change))
    ]
    // What was told before is not told again.
    if (service.changes.settled) this.reload()
  }

  #stop(): void {
    for (const leave of this.#leave) leave()
    this.#leave = []
  }

  #onChange(change: Change): void {
    if (change.type === 'reload') this.reload()
    // Without a stream there is still the list.
    else if (change.type === 'live') this.#loadMissing()
    else if (change.resource !== this.#collection) return
    else if (change.type === 'deleted') this.#rows.remove(change.id)
    else if (change.item !== null) {
      this.#resource.learn([change.item])
      this.#rows.tell(change.item as Item, change.type === 'created')
    }
    this.#update()
  }

  #loadMissing(): void {
    if (this.#loading === undefined && (!this.#isFresh || this.#error !== undefined)) this.reload()
  }

  #onWrite(done: Done | undefined): void {
    if (done !== undefined) {
      for (const item of done.items) this.#rows.answer(item as Item, done.since)
      for (const id of done.gone) this.#rows.remove(id, done.since)
    }
    this.#update()
  }

  #update(): void {
    this.#snapshot = undefined
    this.#listeners.tell()
  }
}

/**
 * Makes a list that stays current: by the changes of the stream and by the writes of this tab, pending ones included.
 * It begins to load when somebody listens.
 *
 * @param query its filters, `sort`, and `limit` as the size of its pages
 */
export const live = <Item extends Row, Draft extends object, Change extends object, Query extends object>(
  resource: Resource<Item, Draft, Change, Query>,
  query: Query = {} as Query
): Live<Item> => new LiveQuery(resource as unknown as Resource<Item, object, object, Query>, query)
