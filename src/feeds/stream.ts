import { encode } from 'eventsource-encoder'
import type { Owner } from '../auth/user.ts'
import { type Change, type Feed, type feedStore, PAGE } from './store.ts'

/** A resource whose changes are streamed: the name of its table, that of an item in an event, and how items are loaded. */
export interface Source {
  resource: string
  member: string
  load(owner: Owner, ids: string[]): Promise<{ id: string; json: string }[]>
}

/** Why a stream ends. */
export type Reason = 'token_expired' | 'reconnect'

/** Proxies give up what is silent for a minute, some for half of one. */
const HEARTBEAT_MS = 20_000

/** To wait before connecting again; after an end, spread over some seconds, or everybody would come at once. */
const RETRY_MS = 2000

/** Whoever missed more has less to load with the list. */
const MOST_MISSED = 1000

/** What a stream waits for: a change that may be there, or its end. */
export class Bell {
  #rung = false
  #wake: (() => void) | undefined
  reason: Reason | undefined
  /** Whether the client has gone: nothing may be asked for it any more. */
  gone = false

  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  end(reason: Reason): void {
    this.reason ??= reason
    this.ring()
  }

  leave(): void {
    this.gone = true
    this.ring()
  }

  /** Resolves when it rings, at once if it has since the last time; false after a heartbeat without. */
  async rung(): Promise<boolean> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, HEARTBEAT_MS)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    const rung = this.#rung
    this.#rung = false
    return rung
  }
}

/** The number in `Last-Event-ID`, if it is of this feed and not too long ago; what is in between may still be gone. */
function resumable(id: string | undefined, { seq }: Feed): number | undefined {
  const last = /^\d{1,16}$/.test(id ?? '') ? Number(id) : Number.NaN
  return last <= seq && seq - last <= MOST_MISSED ? last : undefined
}

const isWhole = (rows: Change[], last: number, head: number) =>
  rows.length === 0 ? last >= head : rows.every(({ seq }, i) => seq === last + 1 + i)

/**
 * The changes of an owner as server-sent events (WHATWG HTML section 9.2), from the one with the id `lastId` on, as long as they are
 * all there; else what is there must be loaded anew, which an event says. It reads the next when the client has taken the last, so a
 * slow one costs no memory.
 */
export async function* eventsOf(
  store: ReturnType<typeof feedStore>,
  owner: Owner,
  { resource, member, load }: Source,
  feed: Feed,
  lastId: string | undefined,
  bell: Bell
): AsyncGenerator<string> {
  let head = feed.seq
  let last = resumable(lastId, feed)
  yield encode({ retry: RETRY_MS })
  while (!bell.gone) {
    if (last === undefined) {
      yield encode({ event: 'reload', id: head, data: '{}' })
      last = head
    }
    const rows = await store.after(owner, last)
    if (!isWhole(rows, last, head)) {
      head = (await store.open(owner)).seq
      last = undefined
      continue
    }
    const told = rows.filter((row) => row.resource === resource)
    const ids = new Set(told.filter(({ kind }) => kind !== 'deleted').map(({ id }) => id))
    // As they are now: a content that was changed or deleted since is told nobody.
    const items = new Map(
      ids.size > 0 && !bell.gone ? (await load(owner, [...ids])).map(({ id, json }) => [id, json]) : []
    )
    const events = told.map(({ seq, kind, id, version }) => {
      const item = kind === 'deleted' ? '' : `,"${member}":${items.get(id) ?? null}`
      return encode({ event: kind, id: seq, data: `{"id":"${id}","version":${version}${item}}` })
    })
    last += rows.length
    if (events.length > 0) yield events.join('')
    if (rows.length === PAGE) continue
    if (bell.reason !== undefined) return yield endOf(bell.reason)
    if (await bell.rung()) continue
    yield encode({ comment: '' })
    // After a purge or a restore nothing is recorded, or others are notified.
    if (!(await store.isCurrent(owner, feed))) return yield endOf('reconnect')
  }
}

/** The last event of a stream. */
export const endOf = (reason: Reason) =>
  encode({
    event: 'end',
    retry: RETRY_MS + Math.floor(Math.random() * RETRY_MS),
    data: JSON.stringify({ reason })
  })
