import { eq, sql } from 'drizzle-orm'
import type { Owner } from '../auth/user.ts'
import type { OwnedBy } from '../db/owned.ts'
import { MAX, rowCounts } from '../db/system-tables.ts'
import type { Transaction } from '../db/transaction.ts'
import { Problem } from '../http/problems.ts'
import type { Declaration } from './declaration.ts'
import { arrayLiteral } from './kinds.ts'

/** Prepares the statements on the count of one resource. */
function prepareCount(owned: OwnedBy, { table, tableName }: Declaration) {
  const { resource, atMost } = rowCounts
  const own = owned(rowCounts)
  const name = sql`${sql.raw(`'${tableName}'`)}`
  const ofResource = eq(resource, name)
  const [n, max] = [sql.placeholder('n'), sql.placeholder(MAX)]
  return {
    add: own.prepare((own) =>
      own.update({ atMost: sql`${atMost} + ${n}` }, ofResource, sql`${atMost} + ${n} <= ${max}`).returning({ atMost })
    ),
    start: own.prepare((own) => own.insert({ resource: name, atMost: 0 }, 'unless there').returning({ atMost })),
    lock: own.prepare((own) => own.select({ atMost }, ofResource).for('update')),
    set: own.prepare((own) => own.update({ atMost: sql`${n}` }, ofResource).returning({ atMost })),
    count: owned(table).prepare((own) =>
      own.select({
        rows: sql<number>`count(*)::int`,
        named: sql<number>`(count(*) filter (where ${table.id} = any(${sql.placeholder('ids')}::uuid[])))::int`
      })
    )
  }
}

/**
 * Bounds how many rows of a resource an owner has. `row_counts` holds how many there are at most: a create adds its row
 * in its own statement (`src/db/room.ts`), and a delete changes nothing. When that leaves no room, the rows are counted
 * while the owner can create none.
 */
export class RowCount {
  readonly #statements: ReturnType<typeof prepareCount>
  readonly #plural: string
  readonly max: number

  /** @param max rows of one owner */
  constructor(owned: OwnedBy, declaration: Declaration, max: number) {
    this.#statements = prepareCount(owned, declaration)
    this.#plural = declaration.words.plural
    this.max = max
  }

  /**
   * Takes room for `n` more rows in a transaction. It throws `quota_exceeded` when there is none.
   *
   * @param ids those that creates chose, some of which may be there already
   */
  async claim(owner: Owner, n: number, ids: readonly string[], transaction: Transaction): Promise<void> {
    const { add, start, lock, count, set } = this.#statements
    if ((await add(owner, { n, [MAX]: this.max }, transaction)).length > 0) return
    // Each statement sees what was committed before it, so those who had the lock are counted.
    const [, , [counted]] = await Promise.all([
      start(owner, {}, transaction),
      lock(owner, {}, transaction),
      count(owner, { ids: arrayLiteral(ids) }, transaction)
    ])
    const { rows, named } = counted as { rows: number; named: number }
    const after = rows + n - named
    if (after > this.max) {
      throw new Problem('quota_exceeded', undefined, `You may have at most ${this.max} ${this.#plural}`)
    }
    await set(owner, { n: after }, transaction)
  }
}
