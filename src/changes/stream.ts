import { encode } from 'eventsource-encoder'
import type { Owner } from '../auth/user.ts'
import type { Deadline } from '../http/deadline.ts'
import { type Change, type Feed, type FeedStore, PAGE } from './feed.ts'
import type { Reason, WakeUp } from './wake-up.ts'

/**
 * A resource whose changes are streamed: the name of its table, that of an item in an event, and how items are loaded.
 */
export interface Source {
  resource: string
  member: string
  load(owner: Owner, ids: string[], within: Deadline): Promise<{ id: string; json: string }[]>
}

/** To wait before connecting again; after an end, spread over some seconds, or everybody would come at once. */
const RETRY_MS = 2000

/** The same after an end in favour of another stream, or two that are one too many would replace each other for ever. */
const REPLACED_RETRY_MS = 60_000

/** Whoever missed more has less to load with the list. */
const MOST_MISSED = 1000

/**
 * Items that are loaded at a time. One may be 60 kB of JSON, and a client that does not read holds what was loaded for
 * it.
 */
const ITEMS_AT_ONCE = 4

/** The number in `Last-Event-ID`, if it is of this feed and not too long ago; what is in between may still be gone. */
function resumable(id: string | undefined, { seq }: Feed): number | undefined {
  const last = /^\d{1,16}$/.test(id ?? '') ? Number(id) : Number.NaN
  return last <= seq && seq - last <= MOST_MISSED ? last : undefined
}

const isWhole = (rows: Change[], last: number, head: number) =>
  rows.length === 0 ? last >= head : rows.every(({ seq }, i) => seq === last + 1 + i)

/**
 * The events of changes, one at a time. Of those that were read, a few items are loaded when the client took the ones
 * before.
 */
async function* eventsOf(
  rows: Change[],
  owner: Owner,
  { member, load }: Source,
  wakeUp: WakeUp
): AsyncGenerator<string> {
  for (let from = 0; from < rows.length && !wakeUp.stopped; from += ITEMS_AT_ONCE) {
    const some = rows.slice(from, from + ITEMS_AT_ONCE)
    const ids = new Set(some.filter(({ kind }) => kind !== 'deleted').map(({ id }) => id))
    // As they are now: a content that was changed or deleted since is told nobody.
    const items = new Map(
      ids.size > 0 ? (await load(owner, [...ids], wakeUp.deadline)).map(({ id, json }) => [id, json]) : []
    )
    for (const { seq, kind, id, version } of some) {
      if (wakeUp.stopped) return
      const item = kind === 'deleted' ? '' : `,"${member}":${items.get(id) ?? null}`
      yield encode({ event: kind, id: seq, data: `{"id":"${id}","version":${version}${item}}` })
    }
  }
}

/**
 * The changes of an owner as server-sent events (WHATWG HTML section 9.2), from the one with the id `lastId` on, as
 * long as they are all there; else what is there must be loaded anew, which an event says. It reads the next when the
 * client has taken the last, so a slow one costs the memory of a few items.
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
    const told = rows.filter(({ resource }) => resource === source.resource)
    yield* eventsOf(told, owner, source, wakeUp)
    last += rows.length
    if (rows.length === PAGE) continue
    if (wakeUp.reason !== undefined) break
    if (await wakeUp.wait()) continue
    yield encode({ comment: '' })
    // After a purge or a restore nothing is recorded, or others are notified.
    if (!(await store.isCurrent(owner, feed, wakeUp.deadline))) return yield endOf('reconnect')
  }
  // A client that has gone is told nothing any more.
  if (wakeUp.reason !== undefined) yield endOf(wakeUp.reason)
}

/** The last event of a stream. */
export function endOf(reason: Reason): string {
  const retry = reason === 'replaced' ? REPLACED_RETRY_MS : RETRY_MS
  return encode({ event: 'end', retry: retry + Math.floor(Math.random() * retry), data: JSON.stringify({ reason }) })
}
