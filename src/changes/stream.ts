import { encode } from 'eventsource-encoder'
import type { Owner } from '../auth/user.ts'
import type { Deadline } from '../http/deadline.ts'
import { type Change, type Feed, type FeedStore, PAGE } from './feed.ts'
import type { Reason, WakeUp } from './wake-up.ts'

/** A resource whose changes are streamed. */
export interface Source {
  /** The name of the table. */
  resource: string
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

/** Yields one event for each change. The next few items are loaded when the client has received those before them. */
async function* eventsOf(
  rows: Change[],
  owner: Owner,
  { member, load }: Source,
  wakeUp: WakeUp
): AsyncGenerator<string> {
  for (let from = 0; from < rows.length && !wakeUp.stopped; from += ITEMS_AT_ONCE) {
    const batch = rows.slice(from, from + ITEMS_AT_ONCE)
    const ids = new Set(batch.filter(({ kind }) => kind !== 'deleted').map(({ id }) => id))
    // Send the current items. Content that was changed or deleted since is not sent.
    const items = new Map(
      ids.size > 0 ? (await load(owner, [...ids], wakeUp.deadline)).map(({ id, json }) => [id, json]) : []
    )
    for (const { seq, kind, id, version } of batch) {
      if (wakeUp.stopped) return
      const item = kind === 'deleted' ? '' : `,"${member}":${items.get(id) ?? null}`
      yield encode({ event: kind, id: seq, data: `{"id":"${id}","version":${version}${item}}` })
    }
  }
}

/**
 * Yields the changes of an owner as server-sent events (WHATWG HTML section 9.2), starting after the event `lastId`.
 * When changes are missing, a `reload` event asks the client to read the list again. The next changes are read when the
 * client has received the last event, so a slow client costs the memory of a few items.
 */
export async function* streamOf(
  store: FeedStore,
  owner: Owner,
  source: Source,
  feed: Feed,
  lastId: string | undefined,
  wakeUp: WakeUp
): AsyncGenerator<string> {
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
    const ofSource = rows.filter(({ resource }) => resource === source.resource)
    yield* eventsOf(ofSource, owner, source, wakeUp)
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
