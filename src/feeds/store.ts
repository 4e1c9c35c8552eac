import { gt, sql } from 'drizzle-orm'
import type { Owner } from '../auth/user.ts'
import type { OwnedBy } from '../db/owned.ts'
import { changes, feeds } from '../db/schema.ts'
import type { Deadline } from '../http/deadline.ts'

/**
 * A change of one row, as it was recorded: those of an owner are numbered without gaps, in the order of their commits.
 */
export type Change = Pick<typeof changes.$inferSelect, 'seq' | 'resource' | 'id' | 'version' | 'kind'>

/** The feed of an owner: the key that its instances are notified with, and the number of its last change. */
export type Feed = Pick<typeof feeds.$inferSelect, 'key' | 'seq'>

/** How many changes are read at a time. */
export const PAGE = 50

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
  const fresh = { startedBy: sql`pg_current_xact_id()`, expiresAt: sql`now() + interval '25 hours'` }

  const renew = own.prepare((own) =>
    own
      .update({
        seq: sql`case when ${live} then ${feeds.seq} else greatest(${feeds.seq} + 1, ${now}) end`,
        startedBy: sql`case when ${live} then ${feeds.startedBy} else ${fresh.startedBy} end`,
        expiresAt: fresh.expiresAt
      })
      .returning(feed)
  )
  const start = own.prepare((own) => own.insert({ ...fresh, seq: now }, 'unless there').returning(feed))
  const settled = sql<boolean>`${feeds.startedBy} < pg_snapshot_xmin(pg_current_snapshot())`
  const look = own.prepare((own) => own.select({ key: feeds.key, settled }))
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
      const ask = (run: typeof renew) => run(owner, {}, within)
      // Another stream of theirs may start it in between.
      const feed = (await ask(renew))[0] ?? (await ask(start))[0] ?? (await ask(renew))[0]
      // A write that looked for the feed before it was there may commit still, unrecorded.
      for (let tries = 0; tries < SETTLE_TRIES; tries++) {
        if ((await look(owner, {}, within))[0]?.settled) break
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
