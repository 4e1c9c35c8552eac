import { encode } from 'eventsource-encoder'
import type { Owner } from '../auth/user.ts'
import type { Deadline } from '../http/deadline.ts'
import { type Change, type Feed, type FeedStore, PAGE } from './feed.ts'
import type { Reason, WakeUp } from './wake-up.ts'

/** A resource whose changes are streamed. */
export interface Source {
  /** The name of the table. */
  resource: string
  /** What its events call the resource, in a stream of several. The events of a stream of one do not name it. */
  collection?: string
  /** The member of an event that holds the item. */
  member: string
  /** Loads the current JSON of the items that still exist. */
  load(owner: Owner, ids: string[], within: Deadline): Promise<{ id: string; json: string }[]>
}

/** The time before a client reconnects. The end of a stream adds a random time, so that clients do not come at once. */
const RETRY_MS = 2000

/** The same for a replaced stream. With a short time, two surplus streams would replace each other for ever. */
const REPLACED_RETRY_MS = 60_000

/** The most missed changes that are sent to a client. A client that missed more has less to load with the list. */
const MOST_MISSED = 1000

/** The number of items that are loaded at a time. One may be 60 kB, and waits in memory until its client reads it. */
const ITEMS_AT_ONCE = 4

/**
 * Returns the number in `Last-Event-ID`, if it is a recent number of this feed. The changes after it may nevertheless
 * have expired.
 */
function resumable(id: string | undefined, { seq }: Feed): number | undefined {
  const last = /^\d{1,16}$/.test(id ?? '') ? Number(id) : Number.NaN
  return last <= seq && seq - last <= MOST_MISSED ? last : undefined
}

/** Whether no change after the number `last` is missing. */
const isWhole = (rows: Change[], last: number, head: number) =>
  rows.length === 0 ? last >= head : rows.every(({ seq }, i) => seq === last + 1 + i)

/** A change, and the resource that it is of. */
interface Told {
  change: Change
  source: Source
}

/**
 * Loads the items of a few changes, by their ids in each resource. The items are the current ones: content that was
 * changed or deleted since is not sent.
 */
async function itemsOf(batch: Told[], owner: Owner, within: Deadline) {
  const items = new Map<Source, Map<string, string>>()
  for (const source of new Set(batch.map((told) => told.source))) {
    const written = batch.filter((told) => told.source === source && told.change.kind !== 'deleted')
    const ids = new Set(written.map(({ change }) => change.id))
    const found = ids.size > 0 ? await source.load(owner, [...ids], within) : []
    items.set(source, new Map(found.map(({ id, json }) => [id, json])))
  }
  return items
}

/** Returns the event of a change. The item is undefined when it is gone. */
function eventOf({ change: { seq, kind, id, version }, source }: Told, item: string | undefined): string {
  const resource = source.collection === undefined ? '' : `"resource":"${source.collection}",`
  const current = kind === 'deleted' ? '' : `,"${source.member}":${item ?? null}`
  return encode({ event: kind, id: seq, data: `{${resource}"id":"${id}","version":${version}${current}}` })
}

/** Yields one event for each change. The next few items are loaded when the client has received those before them. */
async function* eventsOf(changes: Told[], owner: Owner, wakeUp: WakeUp): AsyncGenerator<string> {
  for (let from = 0; from < changes.length && !wakeUp.stopped; from += ITEMS_AT_ONCE) {
    const batch = changes.slice(from, from + ITEMS_AT_ONCE)
    const items = await itemsOf(batch, owner, wakeUp.deadline)
    for (const told of batch) {
      if (wakeUp.stopped) return
      yield eventOf(told, items.get(told.source)?.get(told.change.id))
    }
  }
}

/**
 * Yields an owner's changes of some resources as server-sent events (WHATWG HTML section 9.2), starting after the event
 * `lastId`. When changes are missing, a `reload` event asks the client to read the lists again. The next changes are
 * read when the client has received the last event, so a slow client costs the memory of a few items.
 */
export async function* streamOf(
  store: FeedStore,
  owner: Owner,
  sources: readonly Source[],
  feed: Feed,
  lastId: string | undefined,
  wakeUp: WakeUp
): AsyncGenerator<string> {
  const byTable = new Map(sources.map((source) => [source.resource, source]))
  let head = feed.seq
  let last = resumable(lastId, feed)
  yield encode({ retry: RETRY_MS })
  while (!wakeUp.stopped) {
    if (last === undefined) {
      yield encode({ event: 'reload', id: head, data: '{}' })
      last = head
    }
    const rows = await store.after(owner, last, wakeUp.deadline)
    if (!isWhole(rows, last, head)) {
      head = (await store.open(owner, wakeUp.deadline)).seq
      last = undefined
      continue
    }
    // The feed has the changes of all resources.
    const told = rows.flatMap((change) => {
      const source = byTable.get(change.resource)
      return source === undefined ? [] : [{ change, source }]
    })
    yield* eventsOf(told, owner, wakeUp)
    last += rows.length
    if (rows.length === PAGE) continue
    if (wakeUp.reason !== undefined) break
    if (await wakeUp.wait()) continue
    yield encode({ comment: '' })
    // After a purge or a restore of the database, changes are not recorded, or the feed has another key.
    if (!(await store.isCurrent(owner, feed, wakeUp.deadline))) return yield endOf('reconnect')
  }
  // Without a reason the client has left, and receives nothing.
  if (wakeUp.reason !== undefined) yield endOf(wakeUp.reason)
}

/** Returns the last event of a stream. */
export function endOf(reason: Reason): string {
  const retry = reason === 'replaced' ? REPLACED_RETRY_MS : RETRY_MS
  return encode({ event: 'end', retry: retry + Math.floor(Math.random() * retry), data: JSON.stringify({ reason }) })
}
