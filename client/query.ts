import type { QueryClient } from '@tanstack/query-core'
import type { Options, Resource } from './resource.ts'
import { type Rules, rulesOf } from './rules.ts'
import type { Change } from './stream.ts'
import { type Known, remember, toldSince } from './told.ts'
import type { Row } from './types.ts'
import type { Members } from './values.ts'

type Any<Item extends Row, Query extends object> = Resource<Item, never, never, Query>
type Synced = Pick<Resource<Row, never, never, object>, 'path' | 'service' | 'writes'>

/** The query of one page of a list: `useQuery(listOptions(tasks, { completed: false }))`. */
export const listOptions = <Item extends Row, Query extends object>(resource: Any<Item, Query>, query: Query) => ({
  queryKey: [resource.path, 'list', query] as const,
  async queryFn({ signal }: Options): Promise<Item[]> {
    const { path, service, writes } = resource
    const since = writes.tick()
    const { items } = await resource.page(query, undefined, { signal })
    const told = toldSince(writes, since)
    if (told.length === 0) return items
    // The answer may be older than what was told since.
    const rules = rulesOf(await service.document(), path, query as Members)
    const limit = limitOf(query as Members)
    return told.reduce<Row[]>((page, { id, item }) => withItem(page, id, item, rules, limit), items) as Item[]
  }
})

/** The query of one item: `useQuery(itemOptions(tasks, id))`. */
export const itemOptions = <Item extends Row, Query extends object>(resource: Any<Item, Query>, id: string) => ({
  queryKey: [resource.path, 'item', id] as const,
  async queryFn({ signal }: Options): Promise<Item> {
    const { writes } = resource
    const since = writes.tick()
    const item = await resource.get(id, { signal })
    const told = toldSince(writes, since).filter((one) => one.id === id && one.item !== null)
    return told.reduce<Row>((newest, one) => newerOf(newest, one.item as Row), item) as Item
  }
})

const newerOf = (known: Row | undefined, item: Row) =>
  known !== undefined && known.version > item.version ? known : item

/** The length of a page: 50 unless the query names it. */
const limitOf = ({ limit = 50 }: Members) => Number(limit)

/** A page with an item as it is now: in its place, or gone, or added unless it is on a later page. */
function withItem(page: Row[], id: string, item: Row | null, { matches, compare }: Rules, limit: number): Row[] {
  const by = (a: Row, b: Row) => compare(a as Row & Members, b as Row & Members)
  const before = page.find((one) => one.id === id)
  if (item !== null && (before?.version ?? 0) > item.version) return page
  const others = page.filter((one) => one.id !== id)
  if (item === null || !matches(item as Row & Members)) return before === undefined ? page : others
  const last = page.at(-1)
  const isLater = page.length >= limit && last !== undefined && by(item, last) > 0
  return isLater ? others : [...others, item].sort(by)
}

/** Brings what happens to the items of one resource into the cache. */
function syncResource(queries: QueryClient, { path, service, writes }: Synced): () => void {
  const collection = path.slice(path.lastIndexOf('/') + 1)
  const load = (queryKey: readonly unknown[]) =>
    void queries.invalidateQueries({ queryKey, exact: queryKey.length > 1 })
  const put = (id: string, item: Row | null, document: unknown) => {
    for (const { queryKey } of queries.getQueryCache().findAll({ queryKey: [path] })) {
      const [, kind, given] = queryKey
      if (kind === 'item') {
        if (given !== id) continue
        if (item !== null) queries.setQueryData<Row>(queryKey, (known) => newerOf(known, item))
        // An observer gets the 404.
        else void queries.resetQueries({ queryKey, exact: true })
        continue
      }
      const query = given as Members
      const [limit, rules] = [limitOf(query), rulesOf(document, path, query)]
      const before = queries.getQueryData<Row[]>(queryKey)
      if (before === undefined) continue
      const page = withItem(before, id, item, rules, limit)
      queries.setQueryData<Row[]>(queryKey, page)
      // Which item comes in its place is on the next page.
      if (before.length >= limit && page.length < before.length) load(queryKey)
    }
  }
  // In the order in which it happened, though the document comes later.
  let last: Promise<void> = Promise.resolve()
  const after = (told: Known[]) => {
    if (told.length === 0) return
    remember(writes, told)
    const done = async () => {
      const document = await service.document()
      for (const { id, item } of told) put(id, item, document)
    }
    last = last.then(done).catch(() => load([path]))
  }
  // What happened before somebody listens is not told.
  let isFresh = false
  const stopChanges = service.changes.subscribe((change: Change) => {
    if (change.type === 'reload' || (change.type === 'live' && change.live && !isFresh)) {
      isFresh = true
      load([path])
    } else if (change.type === 'live' || change.resource !== collection) return
    else if (change.type === 'deleted') after([{ id: change.id, item: null }])
    else if (change.item !== null) after([{ id: change.id, item: change.item }])
  })
  const stopWrites = writes.subscribe((done) => {
    const { items = [], gone = [] } = done ?? {}
    after([...items.map((item) => ({ id: item.id, item })), ...gone.map((id) => ({ id, item: null }))])
  })
  return () => {
    stopChanges()
    stopWrites()
  }
}

/**
 * Keeps a TanStack Query cache current: what happens to items, here and elsewhere, changes the queries of `listOptions`
 * and `itemOptions` without loading them again. Only when changes may be missing are they invalidated.
 *
 * @returns what ends it
 */
export function syncQueries(queries: QueryClient, resources: readonly Synced[]): () => void {
  const stops = resources.map((resource) => syncResource(queries, resource))
  return () => {
    for (const stop of stops) stop()
  }
}
