import type { Owner } from '../auth/user.ts'
import type { JsonRow } from '../db/json.ts'
import type { OwnedBy, OwnedTable } from '../db/owned.ts'
import type { Transact, Transaction, Within } from '../db/transaction.ts'
import { uuidv7 } from '../http/uuid.ts'
import { Cascade } from './cascade.ts'
import type { Bodies, Declaration } from './declaration.ts'
import { Inserts, idOf } from './inserts.ts'
import { arrayLiteral } from './kinds.ts'
import { Lists } from './list.ts'
import type { Member } from './members.ts'
import { UNCONDITIONAL, type VersionCondition } from './preconditions.ts'
import { RowCount } from './row-count.ts'
import type { Values } from './schemas.ts'
import { type Created, flagOf, isTransaction, parameter, placeholderOf, prepareItems } from './statements.ts'
import { problemOfRemoval, problemOfWrite } from './violations.ts'

export { nextVersion } from './statements.ts'

/** One item: its JSON, as the client gets it, and what the service itself needs of it. */
export type Stored = JsonRow

/** `app.owned`, `app.transaction` and `app.tables`. */
export interface Database {
  owned: OwnedBy
  transaction: Transact
  tables: readonly OwnedTable[]
}

const versionValues = ({ ifMatch, ifNoneMatch }: VersionCondition) => ({
  ifMatch: ifMatch === null ? null : arrayLiteral(ifMatch),
  ifNoneMatch: ifNoneMatch === null ? null : arrayLiteral(ifNoneMatch)
})

/**
 * The items of a resource, of one owner at a time: a foreign row is as absent as a missing one (`src/db/owned.ts`).
 * What is done `within` a transaction (`app.transaction`) is part of it; within the deadline of a request it is done in
 * time or not at all.
 *
 * What a constraint of the table refuses is a `Problem` that points to the member, from the item on: `/title`.
 */
export class Store<New extends object = Values, Change extends object = Values> extends Lists {
  readonly #declaration: Declaration
  readonly #database: Database
  /** The members, and the names of their placeholders. */
  readonly #members: readonly { member: Member; placeholder: string; flag: string }[]
  readonly #statements: ReturnType<typeof prepareItems>
  readonly #cascade: Cascade
  readonly #inserts: Inserts<New>
  readonly #count: RowCount | undefined

  /** @param max the most items of an owner; null for no bound */
  constructor(database: Database, declaration: Declaration & Bodies<New, Change>, max: number | null = null) {
    const { owned, tables } = database
    super(owned, declaration)
    this.#declaration = declaration
    this.#database = database
    this.#members = declaration.members.map((member) => ({
      member,
      placeholder: placeholderOf(member),
      flag: flagOf(member)
    }))
    this.#statements = prepareItems(owned, declaration)
    this.#inserts = new Inserts(declaration, this.#statements)
    this.#cascade = new Cascade(owned, declaration.table, tables)
    this.#count = max === null ? undefined : new RowCount(owned, declaration, max)
  }

  /** Whether a delete takes several statements, each of which waits for the one before. */
  get cascades(): boolean {
    return !this.#cascade.isEmpty
  }

  /** The owner's item, or undefined when there is none: unknown and foreign alike. */
  async get(owner: Owner, id: string, within?: Within): Promise<Stored | undefined> {
    return (await this.#statements.get(owner, { id }, within))[0]
  }

  /** Those of the owner's items that are there. */
  getAll(owner: Owner, ids: string[], within?: Within): Promise<Stored[]> {
    return this.#statements.getAll(owner, { ids: arrayLiteral(ids) }, within)
  }

  /**
   * Keeps others from changing them until the transaction ends. Two that lock first, all at once, do not wait for each
   * other.
   */
  lock(owner: Owner, ids: string[], transaction: Transaction): Promise<{ id: string }[]> {
    return this.#statements.lock(owner, { ids: arrayLiteral(ids) }, transaction)
  }

  /**
   * Creates an item. A create that chooses the `id` of its item can be repeated: it returns the item that it created
   * before. It throws `already_exists` if another create chose the id, and `quota_exceeded` if there is no room.
   */
  async create(owner: Owner, item: New, within?: Within): Promise<Created> {
    const max = this.#count?.max
    if (max === undefined) return this.#inserts.insert(owner, uuidv7(), item, within)
    if (isTransaction(within)) {
      await this.claim(owner, [item], within)
      return this.#inserts.insert(owner, uuidv7(), item, within)
    }
    const created = await this.#inserts.insertIfRoom(owner, uuidv7(), item, max, within)
    return created ?? this.#database.transaction(owner, (inside) => this.create(owner, item, inside), { within })
  }

  /**
   * Takes room for new items, before they are created. It throws `quota_exceeded` if there is none. Without a bound, or
   * without an item, it does nothing.
   */
  claim(owner: Owner, items: readonly New[], transaction: Transaction): Promise<void> | undefined {
    if (items.length === 0) return undefined
    const ids = items.flatMap((item) => idOf(item) ?? [])
    return this.#count?.claim(owner, items.length, ids, transaction)
  }

  /**
   * Creates an item for which room was taken (`claim`).
   *
   * @param id that it gets unless it chooses one; for several items of a list that was made at once (`uuidv7s`)
   */
  createClaimed(owner: Owner, item: New, id: string, transaction: Transaction): Promise<Created> {
    return this.#inserts.insert(owner, id, item, transaction)
  }

  /** Changes the members that are there. Undefined when the owner has no such item in such a version. */
  async update(
    owner: Owner,
    id: string,
    change: Change,
    condition: VersionCondition = UNCONDITIONAL,
    within?: Within
  ): Promise<Stored | undefined> {
    const values: Values = { id, ...versionValues(condition) }
    for (const { member, placeholder, flag } of this.#members) {
      const given = (change as Values)[member.name]
      values[placeholder] = parameter(member, given)
      if (member.nullable) values[flag] = given !== undefined
    }
    try {
      return (await this.#statements.update(owner, values, within))[0]
    } catch (error) {
      throw problemOfWrite(this.#declaration.constraints, error)
    }
  }

  /**
   * Deletes an item, and does what the references to it say. Returns whether there was such an item, in such a version.
   * It throws `still_referenced` if others refer to it.
   */
  async remove(
    owner: Owner,
    id: string,
    condition: VersionCondition = UNCONDITIONAL,
    within?: Within
  ): Promise<boolean> {
    const values = { id, ...versionValues(condition) }
    try {
      if (!this.cascades) return (await this.#statements.remove(owner, values, within)).length > 0
      const remove = async (transaction: Transaction) => {
        // Once it is locked, nobody can refer to it any more.
        const [found] = await this.#statements.lockOne(owner, values, transaction)
        if (found !== undefined) await this.#cascade.remove(owner, found.id, transaction)
        return found !== undefined
      }
      return isTransaction(within) ? await remove(within) : await this.#database.transaction(owner, remove, { within })
    } catch (error) {
      throw problemOfRemoval(this.#database.tables, error)
    }
  }
}
