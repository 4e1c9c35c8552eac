import { gt, sql } from 'drizzle-orm'
import type { Owner } from '../auth/user.ts'
import type { OwnedBy } from '../db/owned.ts'
import { changes, feeds } from '../db/schema.ts'
import type { Run } from '../db/transaction.ts'
import type { Deadline } from '../http/deadline.ts'

/**
 * A change of one row, as it was recorded: those of an owner are numbered without gaps, in the order of their commits.
 */
export type Change = Pick<typeof changes.$inferSelect, 'seq' | 'resource' | 'id' | 'version' | 'kind'>

/** The feed of an owner: the key that its instances are notified with, and the number of its last change. */
export type Feed = Pick<typeof feeds.$inferSelect, 'key' | 'seq'>

/** How many changes are read at a time. */
export const PAGE = 50

/** `startedBy` of a feed before the transaction that marks it: greater than the number of any transaction. */
const UNMARKED = sql`'18446744073709551615'::xid8`

/** The same of a feed that no write can miss any more. */
const SETTLED = sql`'0'::xid8`

/** A write that did not see the feed is over within the timeout of a statement, or else nothing of it is waited for. */
const SETTLE_TRIES = 30
const SETTLE_MS = 100

/** The feeds of one owner at a time, each with what changed of the owner's rows. Every change is theirs who asks. */
export function feedStore(owned: OwnedBy) {
  const own = owned(feeds)
  const feed = { key: feeds.key, seq: feeds.seq }

  // A feed begins at the microseconds of now, so that no number of an earlier one is taken for its own.
  const now = sql`(extract(epoch from clock_timestamp()) * 1000000)::bigint`
  const live = sql`${feeds.expiresAt} > now()`
  const fresh = { startedBy: UNMARKED, expiresAt: sql`now() + interval '25 hours'` }
  const opened = {
    ...feed,
    unmarked: sql<boolean>`${feeds.startedBy} = ${UNMARKED}`,
    settled: sql<boolean>`${feeds.startedBy} = ${SETTLED}`
  }

  const renew = own.prepare((own) =>
    own
      .update({
        seq: sql`case when ${live} then ${feeds.seq} else greatest(${feeds.seq} + 1, ${now}) end`,
        startedBy: sql`case when ${live} then ${feeds.startedBy} else ${fresh.startedBy} end`,
        expiresAt: fresh.expiresAt
      })
      .returning(opened)
  )
  const start = own.prepare((own) => own.insert({ ...fresh, seq: now }, 'unless there').returning(opened))
  // This transaction begins after the feed was committed. A write that missed the feed has a smaller number, or it has
  // no number yet and holds an older snapshot.
  const mark = own.prepare((own) =>
    own
      .update({
        startedBy: sql`case when ${opened.unmarked} then pg_current_xact_id() else ${feeds.startedBy} end`
      })
      .returning(feed)
  )
  const settled = sql<boolean>`case when ${feeds.startedBy} >= pg_snapshot_xmin(pg_current_snapshot()) then false
    else not exists(select from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()
      and age(backend_xmin) > age(${feeds.startedBy}::xid)) end`
  const isSettled = own.prepare((own) => own.select({ settled }))
  const settle = own.prepare((own) => own.update({ startedBy: SETTLED }).returning(feed))
  const look = own.prepare((own) => own.select({ key: feeds.key }))
  const after = owned(changes).prepare((own) =>
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

  return {
    /**
     * Begins to record the owner's changes, or goes on, for a day after the longest stream. Whatever is committed from
     * now on and not seen by a read that starts now is recorded, with a greater number.
     *
     * @param within of the stream that waits for it: once that is over nothing more is asked
     */
    async open(owner: Owner, within?: Deadline): Promise<Feed> {
      const ask = <R>(run: Run<R>) => run(owner, {}, within)
      // Another stream of theirs may start it in between.
      const feed = (await ask(renew))[0] ?? (await ask(start))[0] ?? (await ask(renew))[0]
      if (feed?.unmarked) await ask(mark)
      // A write that looked for the feed before it was there may commit still, unrecorded.
      for (let tries = 0; !feed?.settled && tries < SETTLE_TRIES; tries++) {
        if ((await ask(isSettled))[0]?.settled) {
          await ask(settle)
          break
        }
        await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
      }
      return feed as Feed
    },

    /** Whether it is still the owner's feed: another begins when theirs was deleted. */
    isCurrent: async (owner: Owner, { key }: Feed, within?: Deadline): Promise<boolean> =>
      (await look(owner, {}, within))[0]?.key === key,

    /** The first `PAGE` changes after that one. */
    after: (owner: Owner, seq: number, within?: Deadline): Promise<Change[]> => after(owner, { seq }, within)
  }
}
