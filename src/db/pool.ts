import { drizzle } from 'drizzle-orm/postgres-js'
import type { Owner } from '../auth/user.ts'
import type { Db, Preparable, Prepare } from './connect.ts'
import { type Client, isRead } from './driver.ts'
import { isBroken, isStale } from './errors.ts'
import { type Transact, transact } from './transaction.ts'

type Prepared<R> = ReturnType<Preparable<R>['prepare']>

/**
 * One connection to the database, made when it is first needed. The pool is ours, of clients that have one each: in one of
 * several postgres.js searches lists that grow with every statement for as long as some connection is never idle.
 */
export interface Line {
  /** Has one connection only (`max: 1`). */
  client: Client
  /** What the line's statements are prepared on. */
  db: Db
  /** How much the line has to do: statements that were sent and not answered yet. */
  pending: number
  /** Runs a statement that was prepared on `db` for an owner. It is sent before `as` returns. */
  as<R>(owner: Owner, prepared: Prepared<R>, values: Record<string, unknown>): Promise<R>
}

/** What a pool has to do: statements and transactions that are not done, and connections with and without any. */
export interface Load {
  pending: number
  busy: number
  idle: number
}

/** Others go where no transaction is: they would wait for its end. */
const TRANSACTION = 1000

/** A line without the wall: every statement names its owner itself. */
export const line = (client: Client): Line => ({
  client,
  db: drizzle({ client }),
  pending: 0,
  as: (_owner, prepared, values) => prepared.execute(values)
})

/**
 * So many reads go to one line before the next is taken: those that leave together share a packet and wake PostgreSQL once. (Measured: 0.9
 * of the processor time of either at 4, little less at 8.) Writes are spread, since each waits for its commit to be on disk.
 */
const READS = 4

/** Takes the line with the least to do for each write and each transaction, and fills one after the other with reads. */
export function pooled(lines: readonly Line[]): { prepare: Prepare; transaction: Transact; load: () => Load } {
  const of = (i: number) => lines[i] as Line
  const choose = (read: boolean) => {
    let best = 0
    for (let i = 0; i < lines.length; i++) {
      const { pending } = of(i)
      if (read && pending < READS) return i
      if (pending < of(best).pending) best = i
    }
    return best
  }

  /**
   * Does `work` on a line. What failed because a prepared statement was stale is done once more: it failed before it did
   * anything, and is prepared anew. A read whose connection broke is too; of a write nobody knows whether it was done.
   */
  async function on<R>(
    weight: number,
    read: boolean,
    work: (i: number) => Promise<R>,
    // As many times as there are connections that may have prepared it.
    stale = lines.length,
    broken = read ? 1 : 0
  ): Promise<R> {
    const i = choose(read)
    of(i).pending += weight
    try {
      const answer = await work(i)
      of(i).pending -= weight
      return answer
    } catch (error) {
      of(i).pending -= weight
      if (stale > 0 && isStale(error)) return on(weight, read, work, stale - 1, broken)
      if (broken > 0 && isBroken(error)) return on(weight, read, work, stale, broken - 1)
      throw error
    }
  }

  // Behind the wall a transaction names its owner itself.
  const plain = lines.map(({ client }) => drizzle({ client }))
  return {
    prepare<R>(name: string, build: (db: Db) => Preparable<R>) {
      const built = lines.map(({ db }) => build(db))
      const prepared = built.map((statement) => statement.prepare(name))
      const read = built.every(isRead)
      return (owner, values) => on(1, read, (i) => of(i).as(owner, prepared[i] as Prepared<R>, values))
    },
    transaction: (owner, work, alone) => on(TRANSACTION, false, (i) => transact(plain[i] as Db, owner, work, alone)),
    load() {
      const pendings = lines.map(({ pending }) => Math.floor(pending / TRANSACTION) + (pending % TRANSACTION))
      const busy = pendings.filter((one) => one > 0).length
      return { pending: pendings.reduce((sum, one) => sum + one, 0), busy, idle: lines.length - busy }
    }
  }
}
