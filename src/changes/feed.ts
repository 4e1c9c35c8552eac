import { gt, sql } from 'drizzle-orm'
import type { Owner } from '../auth/user.ts'
import type { OwnedBy, OwnedTable, ownedBy } from '../db/owned.ts'
import { changes, feeds } from '../db/system-tables.ts'
import type { Run } from '../db/transaction.ts'
import type { Deadline } from '../http/deadline.ts'

/** A recorded change of one row. The changes of an owner are numbered without gaps, in the order of their commits. */
export type Change = Pick<typeof changes.$inferSelect, 'seq' | 'resource' | 'id' | 'version' | 'kind'>

/** The feed of an owner: the key in its notifications, and the number of its last change. */
export type Feed = Pick<typeof feeds.$inferSelect, 'key' | 'seq'>

type Owned<T extends OwnedTable> = ReturnType<typeof ownedBy<T>>

/** The number of changes that are read at a time. */
export const PAGE = 50

/** `startedBy` of a feed that is not marked yet. It is greater than the number of any transaction. */
const UNMARKED = sql`'18446744073709551615'::xid8`

/** `startedBy` of a settled feed: every write in flight sees the feed, and records its changes. */
const SETTLED = sql`'0'::xid8`

/** The wait for writes that did not see the feed. They end within the statement timeout, so the wait is bounded. */
const SETTLE_TRIES = 30
export const SETTLE_MS = 100

// A feed begins with the current time in microseconds, so its numbers are greater than those of every earlier feed. In
// an update Citus allows functions of the current transaction, and only outside `case`.
const now = sql`(extract(epoch from now()) * 1000000)::bigint`
const live = sql`${feeds.expiresAt} > now()`
const expired = sql`${feeds.expiresAt} <= now()`
const expiresAt = sql`now() + interval '25 hours'`

const feed = { key: feeds.key, seq: feeds.seq }
const unmarked = sql<boolean>`${feeds.startedBy} = ${UNMARKED}`
const opened = { ...feed, unmarked, settled: sql<boolean>`${feeds.startedBy} = ${SETTLED}` }

// The sessions come from the function behind pg_stat_activity, because Citus does not join a view with a shard.
const settled = sql<boolean>`case when ${feeds.startedBy} >= pg_snapshot_xmin(pg_current_snapshot()) then false
    else not exists(select from pg_stat_get_activity(null) where pid <> pg_backend_pid()
      and datid = (select datid from pg_stat_get_activity(pg_backend_pid()))
      and age(backend_xmin) > age(${feeds.startedBy}::xid)) end`

/** Prepares the statements on the feed of one owner. */
function prepareFeed(own: Owned<typeof feeds>) {
  return {
    extend: own.prepare((own) => own.update({ expiresAt }, live).returning(opened)),
    restart: own.prepare((own) =>
      own
        .update({ seq: sql`greatest(${feeds.seq} + 1, ${now})`, startedBy: UNMARKED, expiresAt }, expired)
        .returning(opened)
    ),
    start: own.prepare((own) =>
      own.insert({ startedBy: UNMARKED, expiresAt, seq: now }, 'unless there').returning(opened)
    ),
    // The marking transaction begins after the commit of the feed. A write that did not see the feed either has a
    // smaller transaction number, or has no number yet and holds an older snapshot. On Citus a trigger replaces the
    // number by that of the node of the feed (docs/citus.sql).
    mark: own.prepare((own) => own.update({ startedBy: sql`pg_current_xact_id()` }, unmarked).returning(feed)),
    isSettled: own.prepare((own) => own.select({ settled })),
    settle: own.prepare((own) => own.update({ startedBy: SETTLED }).returning(feed)),
    currentKey: own.prepare((own) => own.select({ key: feeds.key }))
  }
}

/** Prepares the statement that reads the changes of one owner after a number. */
const prepareChanges = (own: Owned<typeof changes>) =>
  own.prepare((own) =>
    own
      .select(
        {
          seq: changes.seq,
          resource: changes.resource,
          id: changes.id,
          version: changes.version,
          kind: changes.kind
        },
        gt(changes.seq, sql.placeholder('seq'))
      )
      .orderBy(changes.seq)
      .limit(PAGE)
  )

/** Reads and writes the feeds. A feed lists the changes of its owner's rows. */
export class FeedStore {
  readonly #feed: ReturnType<typeof prepareFeed>
  readonly #changes: ReturnType<typeof prepareChanges>

  constructor(owned: OwnedBy) {
    this.#feed = prepareFeed(owned(feeds))
    this.#changes = prepareChanges(owned(changes))
  }

  /**
   * Starts or continues the recording of the owner's changes, until a day after the end of the longest stream. After
   * it resolves, changes are recorded with numbers greater than `seq`, and a read sees all changes before them.
   *
   * @param within the deadline of the stream, after which no statement is sent
   */
  async open(owner: Owner, within?: Deadline): Promise<Feed> {
    const { extend, restart, start, mark } = this.#feed
    const ask = <R>(run: Run<R>) => run(owner, {}, within)
    const lives = (await ask(extend))[0] ?? (await ask(restart))[0] ?? (await ask(start))[0]
    // If another stream of the owner starts the feed in between, none of these returns a row.
    const feed = lives ?? (await ask(extend))[0]
    if (feed?.unmarked) await ask(mark)
    if (!feed?.settled) await this.#settle(ask)
    return feed as Feed
  }

  /** Waits for the writes that did not see the feed, because they may still commit changes without recording them. */
  async #settle(ask: <R>(run: Run<R>) => Promise<R>): Promise<void> {
    const { isSettled, settle } = this.#feed
    for (let tries = 0; tries < SETTLE_TRIES; tries++) {
      if ((await ask(isSettled))[0]?.settled) return void (await ask(settle))
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
    }
  }

  /** Whether the owner still has this feed. After its deletion a new feed has another key. */
  async isCurrent(owner: Owner, { key }: Feed, within?: Deadline): Promise<boolean> {
    const [current] = await this.#feed.currentKey(owner, {}, within)
    return current?.key === key
  }

  /** Returns the first `PAGE` changes after the number `seq`. */
  after(owner: Owner, seq: number, within?: Deadline): Promise<Change[]> {
    return this.#changes(owner, { seq }, within)
  }
}
