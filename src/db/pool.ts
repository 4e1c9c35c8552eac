import type { Owner } from '../auth/user.ts'
import type { Db, Prepare } from './connect.ts'
import type { Client } from './driver.ts'
import { isBroken, isStale } from './errors.ts'
import { compile } from './statement.ts'
import { type Transact, transact } from './transaction.ts'

/**
 * One connection to the database, made when it is first needed, or ahead (`warm` in src/db/connect.ts). The pool is ours, of clients that have one each: in one of
 * several postgres.js searches lists that grow with every statement for as long as some connection is never idle.
 */
export interface Line {
  /** Has one connection only (`max: 1`). */
  client: Client
  /** How much the line has to do: statements that were sent and not answered yet. */
  pending: number
  /** Sends a statement for an owner, before it returns. */
  send(owner: Owner, text: string, parameters: unknown[], bytes: boolean): Promise<unknown[][]>
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
  pending: 0,
  send: (_owner, text, parameters, bytes) => client.send(text, parameters, bytes)
})

/**
 * So many reads go to one line before the next is taken: those that leave together share a packet and wake PostgreSQL once. More than
 * that costs less still, but a read waits for the slow ones before it (docs/performance.md). Writes are spread, since each waits for its
 * commit to be on disk.
 */
const READS = 8

/**
 * Takes the line with the least to do for each write and each transaction, and fills one after the other with reads.
 *
 * @param db what statements are built with
 */
export function pooled(db: Db, lines: readonly Line[]): { prepare: Prepare; transaction: Transact; load: () => Load } {
  const choose = (read: boolean) => {
    let best = lines[0] as Line
    for (const line of lines) {
      if (read && line.pending < READS) return line
      if (line.pending < best.pending) best = line
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
    work: (line: Line) => Promise<R>,
    // As many times as there are connections that may have prepared it.
    stale = lines.length,
    broken = read ? 1 : 0
  ): Promise<R> {
    const line = choose(read)
    line.pending += weight
    try {
      const answer = await work(line)
      line.pending -= weight
      return answer
    } catch (error) {
      line.pending -= weight
      if (stale > 0 && isStale(error)) return on(weight, read, work, stale - 1, broken)
      if (broken > 0 && isBroken(error)) return on(weight, read, work, stale, broken - 1)
      throw error
    }
  }

  return {
    prepare(build) {
      const statement = compile(build(db))
      const { text, read, bytes, parameters, rows } = statement
      return async (owner, values = {}, transaction) => {
        if (transaction !== undefined) return transaction.run(statement, owner, values)
        return rows(await on(1, read, (line) => line.send(owner, text, parameters(owner, values), bytes)))
      }
    },
    transaction: (owner, work, alone) => on(TRANSACTION, false, (line) => transact(line.client, owner, work, alone)),
    load() {
      const pendings = lines.map(({ pending }) => Math.floor(pending / TRANSACTION) + (pending % TRANSACTION))
      const busy = pendings.filter((one) => one > 0).length
      return { pending: pendings.reduce((sum, one) => sum + one, 0), busy, idle: lines.length - busy }
    }
  }
}
