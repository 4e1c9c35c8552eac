import { Problem } from './problem.ts'
import type { Service } from './service.ts'
import type { Row } from './types.ts'
import { uuidv7 } from './uuid.ts'
import { isSame, keepNewest, type Members } from './values.ts'
import { type Write, Writes } from './writes.ts'

/** Options of every call. */
export interface Options {
  /** Ends the call: it rejects with the signal's reason. The service may do a write nevertheless. */
  signal?: AbortSignal | undefined
}

export interface ChangeOptions extends Options {
  /** The version that the user saw. If the item has another one, nothing is changed: `precondition_failed`. */
  version?: number
  /** Sends the change again if others changed other members only, since that version. */
  rebase?: boolean
}

export interface Batch<Draft, Change> {
  create?: Draft[]
  update?: { id: string; version?: number; change: Change }[]
  delete?: { id: string; version?: number }[]
}

export interface BatchResult<Item> {
  created: Item[]
  updated: Item[]
  deleted: string[]
}

export interface Page<Item> {
  items: Item[]
  /** The cursor of the next page; undefined when there is none. */
  next: string | undefined
  /** How many items there are in all, if the query has `count: 'exact'`. */
  total: number | undefined
}

/** A list, read page by page while it is iterated. */
export interface List<Item> extends AsyncIterable<Item> {
  pages(): AsyncGenerator<Page<Item>>
}

/** The versions of items that are known, to see what others changed since. The oldest are forgotten. */
const KNOWN_MAX = 1000

/** The most times that a change is sent again after others' changes. */
const REBASES = 5

const withItem = <Item>(item: Item) => ({ items: [item] })

/** The caller may change the object before the answer. */
const copyOf = (body: object): Members => ({ ...body })

/** Whether two items have the same values in all of these members. */
const isSameIn = (members: Members, a: object, b: object) =>
  Object.keys(members).every((name) => isSame((a as Members)[name], (b as Members)[name]))

const isGone = (error: unknown) => error instanceof Problem && error.code.endsWith('_not_found')

/** The operations on one resource. Every call throws a `Problem`. */
export class Resource<Item extends Row, Draft extends object, Change extends object, Query extends object> {
  readonly path: string
  readonly service: Service
  readonly writes = new Writes()
  readonly #known = new Map<string, Row>()

  constructor(path: string, service: Service) {
    this.path = path
    this.service = service
  }

  /** Lists items: `for await (const task of tasks.list({ completed: false }))`, or page by page with `pages()`. */
  list(query?: Query, options: Options = {}): List<Item> {
    const load = (cursor?: string) => this.page(query, cursor, options)
    async function* pages() {
      let next: string | undefined
      do {
        const page = await load(next)
        yield page
        next = page.next
      } while (next !== undefined)
    }
    return {
      pages,
      async *[Symbol.asyncIterator]() {
        for await (const { items } of pages()) yield* items
      }
    }
  }

  /** Reads one page of a list. */
  async page(query?: Query, cursor?: string, { signal }: Options = {}): Promise<Page<Item>> {
    const params = { query: { ...query, cursor } }
    const { data, response } = await this.service.request('get', this.path, { params, signal })
    const { headers } = response
    // Only the cursor is taken from the link: a proxy may serve the API below another path.
    const [, next] = /[?&]cursor=([\w-]+)[^>]*>; rel="next"/.exec(String(headers.get('link'))) ?? []
    const total = headers.get('x-total-count')
    return { items: this.learn(data as Item[]), next, total: total === null ? undefined : Number(total) }
  }

  async get(id: string, { signal }: Options = {}): Promise<Item> {
    const since = this.writes.tick()
    const [item] = this.learn([await this.#sendTo(id, 'get', { signal })])
    this.writes.found([item as Item], since)
    return item as Item
  }

  /**
   * Creates an item, once, even if its answer is lost. The client chooses the id unless the draft has one, so live
   * queries show the item under its final id at once.
   */
  create(draft: Draft, { signal }: Options = {}): Promise<Item> {
    const [body] = this.#withIds([draft]) as [Members & { id: string }]
    const create = () => this.#send<Item>('post', '', { body, headers: this.#once(), signal })
    return this.#write([{ kind: 'create', id: body.id, members: body }], create, withItem)
  }

  /**
   * Changes members of an item and keeps the others. After a lost connection the change is sent again only with a
   * `version`, because it could otherwise undo what somebody else did in the meantime.
   *
   * @throws `precondition_failed` with `current`, the item as it is now
   */
  change(id: string, change: Change, { version, rebase = false, signal }: ChangeOptions = {}): Promise<Item> {
    const members = copyOf(change)
    const send = async (seen = version, rebases = 0): Promise<Item> => {
      try {
        return await this.#sendTo(id, 'patch', { body: members, headers: this.#ifMatch(seen), signal })
      } catch (error) {
        const current = await this.#currentOf(error, id, signal)
        // The answer of the first try was lost, or somebody else did the same.
        if (isSameIn(members, current, members)) return current
        if (!rebase || rebases >= REBASES || !this.#isApart(seen, current, members)) throw error
        return send(current.version, rebases + 1)
      }
    }
    const write: Write = { kind: 'change', id, members, version: rebase ? undefined : version }
    return this.#write([write], () => send(), withItem)
  }

  /**
   * Deletes an item. It succeeds too if the item is gone already.
   *
   * @throws `precondition_failed` with `current`, if the item has another version than `version`
   */
  remove(id: string, { version, signal }: Options & { version?: number } = {}): Promise<void> {
    const send = async () => {
      try {
        await this.#sendTo(id, 'delete', { headers: this.#ifMatch(version), signal })
      } catch (error) {
        const found = await this.#currentOf(error, id, signal).catch(isGone)
        if (found !== true) throw error
      }
    }
    return this.#write([{ kind: 'remove', id }], send, () => ({ gone: [id] }))
  }

  /** Does up to 100 operations: all of them, or none. */
  batch(operations: Batch<Draft, Change>, { signal }: Options = {}): Promise<BatchResult<Item>> {
    const create = this.#withIds(operations.create ?? [])
    const { update = [], delete: removals = [] } = operations
    const writes: Write[] = [
      ...create.map((members): Write => ({ kind: 'create', id: members.id, members })),
      ...update.map(({ id, version, change }): Write => ({ kind: 'change', id, members: copyOf(change), version })),
      ...removals.map(({ id }): Write => ({ kind: 'remove', id }))
    ]
    const body = { ...operations, ...(create.length > 0 && { create }) }
    const send = () => this.#send<BatchResult<Item>>('post', '/batch', { body, headers: this.#once(), signal })
    return this.#write(writes, send, ({ created, updated, deleted }) => ({
      items: [...created, ...updated],
      gone: deleted
    }))
  }

  async #send<T>(method: string, path: string, init: object): Promise<T> {
    const { data } = await this.service.request(method, this.path + path, init)
    return data as T
  }

  #sendTo(id: string, method: string, init: object): Promise<Item> {
    return this.#send(method, '/{id}', { params: { path: { id } }, ...init })
  }

  /** Reads the item that a write found in another version. @throws any other error of the write */
  async #currentOf(error: unknown, id: string, signal: AbortSignal | undefined): Promise<Item> {
    if (!(error instanceof Problem) || error.code !== 'precondition_failed') throw error
    error.current = await this.get(id, { signal })
    return error.current as Item
  }

  #write<T>(writes: Write[], work: () => Promise<T>, did: (result: T) => { items?: Item[]; gone?: string[] }) {
    return this.writes.track(writes, work, (result) => {
      const { items = [], gone = [] } = did(result)
      return { items: this.learn(items), gone }
    })
  }

  /** The key is made for each call, and kept when the call is sent again. */
  #once() {
    return { 'idempotency-key': uuidv7(this.service.now()) }
  }

  #ifMatch(version: number | undefined) {
    return { 'if-match': version === undefined ? version : `"${version}"` }
  }

  #withIds(drafts: readonly Draft[]): (Members & { id: string })[] {
    return drafts.map((draft) => ({ ...draft, id: (draft as { id?: string }).id ?? uuidv7(this.service.now()) }))
  }

  /** Remembers items as they are now. */
  learn<Known extends Row>(items: Known[]): Known[] {
    for (const item of items) this.#known.set(`${item.id} ${item.version}`, item)
    keepNewest(this.#known, KNOWN_MAX)
    return items
  }

  /** Whether others have changed none of the members since the version that the user saw. */
  #isApart(seen: number | undefined, current: Item, members: Members): boolean {
    const base = this.#known.get(`${current.id} ${seen}`)
    return base !== undefined && isSameIn(members, base, current)
  }
}
