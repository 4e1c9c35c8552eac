import { type SQL, sql } from 'drizzle-orm'
import type { Owner } from '../auth/user.ts'
import { type Dependent, deletionOrder, dependentsOf } from '../db/constraints.ts'
import type { OwnedBy, OwnedTable } from '../db/owned.ts'
import type { Run, Transaction } from '../db/transaction.ts'
import { arrayLiteral } from './kinds.ts'
import { nextVersion } from './statements.ts'
import type { ResourceTable } from './table.ts'
import { stillReferenced } from './violations.ts'

/** The most rows that are deleted or cleared with one that they refer to. */
export const CASCADE_MAX = 1000

type Rows = Run<{ id: string }[]>

/** A reference whose rows follow a deleted row, and the statements for them. */
interface Follower {
  dependent: Dependent<ResourceTable>
  /** Locks and returns those that refer to one of `ids`: at most one more than may follow. */
  find: Rows
  /** Makes the references of `ids` null. */
  clear: Rows
}

function followerOf(owned: OwnedBy, dependent: Dependent<ResourceTable>): Follower {
  const { table, column, members } = dependent
  const own = owned(table, { recorded: true })
  const { id } = table
  const refers = sql`${column} = any(${sql.placeholder('ids')}::uuid[])`
  const cleared = { ...nextVersion(table), [String(members[0])]: sql`null` }
  return {
    dependent,
    find: own.prepare((own) =>
      own
        .select({ id }, refers)
        .orderBy(id)
        .limit(CASCADE_MAX + 1)
        .for('update')
    ) as Rows,
    clear: own.prepare((own) => own.update(cleared as never, refers, staying(id)).returning({ id })) as Rows
  }
}

/** The condition of a row that is not deleted with the others. */
const staying = (id: ResourceTable['id']): SQL => sql`${id} <> all(${sql.placeholder('deleted')}::uuid[])`

/**
 * Deletes rows together with those that refer to them, where the references say so. PostgreSQL could do that itself,
 * but would record no change and know no bound.
 */
export class Cascade {
  readonly #table: ResourceTable
  readonly #followers = new Map<OwnedTable, Follower[]>()
  readonly #removals = new Map<OwnedTable, Rows>()
  /** The tables of which rows are deleted, in an order that the references allow. */
  readonly #order: OwnedTable[]
  /** Whether nothing follows a deleted row. */
  readonly isEmpty: boolean

  /** @param tables all that may refer to `table` */
  constructor(owned: OwnedBy, table: ResourceTable, tables: readonly OwnedTable[]) {
    this.#table = table
    this.#prepare(owned, table, tables as readonly ResourceTable[])
    this.#order = deletionOrder([...this.#removals.keys()])
    this.isEmpty = this.#followers.get(table)?.length === 0
  }

  #prepare(owned: OwnedBy, table: ResourceTable, tables: readonly ResourceTable[]): void {
    if (this.#removals.has(table)) return
    const { id } = table
    const isOne = sql`${id} = any(${sql.placeholder('ids')}::uuid[])`
    this.#removals.set(
      table,
      owned(table, { recorded: true }).prepare((own) => own.delete(isOne).returning({ id })) as Rows
    )
    const following = dependentsOf(table, tables).filter(({ onDelete }) => onDelete !== undefined)
    this.#followers.set(
      table,
      following.map((dependent) => followerOf(owned, dependent))
    )
    for (const dependent of following) {
      if (dependent.onDelete === 'cascade') this.#prepare(owned, dependent.table, tables)
    }
  }

  /**
   * Deletes a row that is locked, and does what the references to it say. It throws `still_referenced` when more than
   * `CASCADE_MAX` rows would follow.
   */
  async remove(owner: Owner, id: string, transaction: Transaction): Promise<void> {
    const deleted = new Map<OwnedTable, Set<string>>([[this.#table, new Set([id])]])
    await this.#collect(owner, this.#table, [id], deleted, transaction)
    const literal = (one: OwnedTable) => arrayLiteral([...(deleted.get(one) ?? [])])
    const sent: Promise<unknown>[] = []
    for (const one of this.#order) {
      if (!deleted.has(one)) continue
      for (const { dependent, clear } of this.#followers.get(one) as Follower[]) {
        if (dependent.onDelete !== 'clear') continue
        const values = { ids: literal(one), deleted: literal(dependent.table) }
        sent.push(clear(owner, values, transaction))
      }
      sent.push((this.#removals.get(one) as Rows)(owner, { ids: literal(one) }, transaction))
    }
    await Promise.all(sent)
  }

  /** Finds what is deleted together with `ids`, and locks it and what is cleared. Returns how many rows follow. */
  async #collect(
    owner: Owner,
    table: OwnedTable,
    ids: readonly string[],
    deleted: Map<OwnedTable, Set<string>>,
    transaction: Transaction,
    before = 0
  ): Promise<number> {
    let following = before
    for (const { dependent, find } of this.#followers.get(table) as Follower[]) {
      const known = deleted.get(dependent.table) ?? new Set()
      const found = (await find(owner, { ids: arrayLiteral(ids) }, transaction)).map(({ id }) => id)
      const more = found.filter((one) => !known.has(one))
      following += more.length
      if (following > CASCADE_MAX) throw stillReferenced(dependent.table, `, more than ${CASCADE_MAX} of them`)
      if (dependent.onDelete !== 'cascade' || more.length === 0) continue
      deleted.set(dependent.table, new Set([...known, ...more]))
      following = await this.#collect(owner, dependent.table, more, deleted, transaction, following)
    }
    return following
  }
}
