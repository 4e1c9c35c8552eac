import type { Owner } from '../auth/user.ts'
import type { Constraint } from '../db/constraints.ts'
import { MAX } from '../db/system-tables.ts'
import type { Transaction, Within } from '../db/transaction.ts'
import { Problem } from '../http/problems.ts'
import { timeOf } from '../http/uuid.ts'
import type { Declaration } from './declaration.ts'
import { digestOf } from './digest.ts'
import type { Member } from './members.ts'
import type { Values } from './schemas.ts'
import { type Created, isTransaction, parameter, placeholderOf, type prepareItems } from './statements.ts'
import { problemOfWrite } from './violations.ts'

const ID_TAKEN = { in: 'body', pointer: '/id', detail: 'must be the id of no other item' }

/** The id that a create chooses, in the form in which PostgreSQL writes it. */
export const idOf = (item: object): string | undefined => (item as { id?: string }).id?.toLowerCase()

/** Inserts the items that creates bring: with an id of ours, or with one that the create chose. */
export class Inserts<New extends object> {
  readonly #members: readonly { member: Member; placeholder: string }[]
  readonly #constraints: ReadonlyMap<string, Constraint>
  readonly #statements: ReturnType<typeof prepareItems>

  constructor({ members, constraints }: Declaration, statements: ReturnType<typeof prepareItems>) {
    this.#members = members.map((member) => ({ member, placeholder: placeholderOf(member) }))
    this.#constraints = constraints
    this.#statements = statements
  }

  /** @param fallback the id of an item that has none */
  #values(fallback: string, item: New): Values {
    const chosen = idOf(item)
    const id = chosen ?? fallback
    const values: Values = { id, createdAt: timeOf(id) }
    if (chosen !== undefined) values.digest = digestOf({ ...item, id })
    for (const { member, placeholder } of this.#members) {
      const given = (item as Values)[member.name]
      values[placeholder] = given === undefined ? member.fallback() : parameter(member, given)
    }
    return values
  }

  /** Creates an item that has been counted. */
  async insert(owner: Owner, fallback: string, item: New, within?: Within): Promise<Created> {
    const { insert, insertNamed, insertUnlike } = this.#statements
    const values = this.#values(fallback, item)
    if (values.digest !== undefined && isTransaction(within)) return this.#insertAtOnce(owner, values, within)
    // When two insert the same row at once, PostgreSQL may tell one that it violates a unique set, though the other
    // has the id too. So that is no error until it is known that no create like this one is done.
    for (const run of values.digest === undefined ? [insert] : [insertUnlike, insertNamed]) {
      const [row] = await this.#write(run(owner, values, within))
      const created = row === undefined ? await this.#repeated(owner, values, within) : { ...row, isNew: true }
      if (created !== undefined) return created
    }
    throw new Problem('already_exists', [ID_TAKEN])
  }

  /**
   * The same for a create that chose the id, in a transaction. All is sent at once, or a statement that is sent next
   * would be done before the second insert: the delete of what this create repeats, say.
   */
  async #insertAtOnce(owner: Owner, values: Values, transaction: Transaction): Promise<Created> {
    const { insertNamed, insertUnlike } = this.#statements
    const [unlike, same, named] = await Promise.allSettled([
      this.#write(insertUnlike(owner, values, transaction)),
      this.#repeated(owner, values, transaction),
      this.#write(insertNamed(owner, values, transaction))
    ])
    // The first that failed, behind which the others fail too.
    const [inserted] = valueOfSettled(unlike)
    const repeated = valueOfSettled(same)
    const row = inserted ?? (repeated === undefined ? valueOfSettled(named)[0] : undefined)
    if (row !== undefined) return { ...row, isNew: true }
    if (repeated === undefined) throw new Problem('already_exists', [ID_TAKEN])
    return repeated
  }

  /** Counts and creates an item in one statement. Undefined when there is no room, or another create has its id. */
  async insertIfRoom(
    owner: Owner,
    fallback: string,
    item: New,
    max: number,
    within: Within | undefined
  ): Promise<Created | undefined> {
    const { insertIfRoom, insertNamedIfRoom } = this.#statements
    const values: Values = { ...this.#values(fallback, item), [MAX]: max }
    const insert = values.digest === undefined ? insertIfRoom : insertNamedIfRoom
    const [row] = await this.#write(insert(owner, values, within))
    return row === undefined ? this.#repeated(owner, values, within) : { ...row, isNew: true }
  }

  /** The item that the same create created before. */
  async #repeated(owner: Owner, values: Values, within: Within | undefined): Promise<Created | undefined> {
    if (values.digest === undefined) return undefined
    const [row] = await this.#statements.sameCreate(owner, values, within)
    return row === undefined ? undefined : { ...row, isNew: false }
  }

  async #write<R>(written: Promise<R>): Promise<R> {
    try {
      return await written
    } catch (error) {
      throw problemOfWrite(this.#constraints, error)
    }
  }
}

function valueOfSettled<T>(settled: PromiseSettledResult<T>): T {
  if (settled.status === 'rejected') throw settled.reason
  return settled.value
}
