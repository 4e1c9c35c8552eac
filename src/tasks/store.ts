import { eq, sql } from 'drizzle-orm'
import type { Owner } from '../auth/user.ts'
import { jsonOf, patched } from '../db/json.ts'
import type { OwnedBy } from '../db/owned.ts'
import { tasks } from '../db/schema.ts'
import type { Transaction, Within } from '../db/transaction.ts'
import { toUtc } from '../http/formats.ts'
import { UNCONDITIONAL, type VersionCondition } from '../http/preconditions.ts'
import { timeOf, uuidv7, uuidv7s } from '../http/uuid.ts'
import { publicColumns, taskListing } from './listing.ts'
import type { NewTask, TaskChange } from './schemas.ts'

/** One task: its JSON, as the client gets it, and what the service itself needs of it. */
export interface StoredTask {
  id: string
  version: number
  json: string
}

const returning = { id: tasks.id, version: tasks.version, json: jsonOf(publicColumns) }

const byId = eq(tasks.id, sql.placeholder('id'))
const idIn = sql`${tasks.id} = any(${sql.placeholder('ids')}::uuid[])`

// In the statement itself: between a look at the version and the write somebody else could have written.
const [ifMatch, ifNoneMatch] = [sql.placeholder('ifMatch'), sql.placeholder('ifNoneMatch')]
// A list that is null asks for nothing.
const versionMatches = sql`coalesce(${tasks.version} = any(${ifMatch}::int[]), true)
  and coalesce(${tasks.version} <> all(${ifNoneMatch}::int[]), true)`

/** An array literal of PostgreSQL: the driver knows no array types. */
const arrayOf = (values: (string | number)[]) => `{${values.join()}}`

const versionValues = ({ ifMatch, ifNoneMatch }: VersionCondition) => ({
  ifMatch: ifMatch === null ? null : arrayOf(ifMatch),
  ifNoneMatch: ifNoneMatch === null ? null : arrayOf(ifNoneMatch)
})

/**
 * The tasks of one owner at a time: a foreign row is as absent as a missing one (`src/db/owned.ts`). What is done
 * `within` a transaction (`app.transaction`) is part of it; within the deadline of a request it is done in time or not
 * at all.
 *
 * @param owned `app.owned`
 */
export function taskStore(owned: OwnedBy) {
  const own = owned(tasks, { recorded: true })

  const get = own.prepare((own) => own.select(returning, byId))
  const getAll = own.prepare((own) => own.select(returning, idIn))
  const lock = own.prepare((own) => own.select({ id: tasks.id }, idIn).orderBy(tasks.id).for('update'))

  const insert = own.prepare((own) =>
    own
      .insert({
        id: sql.placeholder('id'),
        title: sql.placeholder('title'),
        description: sql.placeholder('description'),
        completed: sql.placeholder('completed'),
        dueAt: sql.placeholder('dueAt'),
        // By the clock that made the id, or "newest first" would disagree with what is shown.
        createdAt: sql.placeholder('createdAt'),
        updatedAt: sql.placeholder('createdAt')
      })
      .returning(returning)
  )

  const update = own.prepare((own) =>
    own
      .update(
        {
          title: patched(tasks.title, 'text'),
          description: patched(tasks.description, 'text'),
          completed: patched(tasks.completed, 'boolean'),
          dueAt: patched(tasks.dueAt, 'timestamptz'),
          // The clock of the creation may be ahead.
          updatedAt: sql`greatest(now(), ${tasks.createdAt})`,
          version: sql`${tasks.version} + 1`
        },
        byId,
        versionMatches
      )
      .returning(returning)
  )

  const remove = own.prepare((own) => own.delete(byId, versionMatches).returning({ id: tasks.id }))

  const create = async (owner: Owner, id: string, task: NewTask, within?: Within): Promise<StoredTask> => {
    const { title, description = null, completed = false, dueAt = null } = task
    const values = { id, title, description, completed, dueAt: toUtc(dueAt), createdAt: timeOf(id) }
    const [row] = await insert(owner, values, within)
    return row as StoredTask
  }

  return {
    ...taskListing(owned),

    /** The owner's task, or undefined when there is none: unknown and foreign alike. */
    async get(owner: Owner, id: string, within?: Within): Promise<StoredTask | undefined> {
      return (await get(owner, { id }, within))[0]
    },

    /** Those of the owner's tasks that are there. */
    getAll: (owner: Owner, ids: string[], within?: Within): Promise<StoredTask[]> =>
      getAll(owner, { ids: arrayOf(ids) }, within),

    /**
     * Keeps others from changing them until the transaction ends. Two that lock first, all at once, do not wait for
     * each other.
     */
    lock: (owner: Owner, ids: string[], transaction: Transaction) => lock(owner, { ids: arrayOf(ids) }, transaction),

    create: (owner: Owner, task: NewTask, within?: Within): Promise<StoredTask> =>
      create(owner, uuidv7(), task, within),

    /** They are created in this order, which is that of their ids too. */
    createAll(owner: Owner, tasks: NewTask[], transaction: Transaction): Promise<StoredTask[]> {
      const ids = uuidv7s(tasks.length)
      return Promise.all(tasks.map((task, i) => create(owner, ids[i] as string, task, transaction)))
    },

    /** Changes the members that are there. Undefined when the owner has no such task in such a version. */
    async update(
      owner: Owner,
      id: string,
      change: TaskChange,
      condition: VersionCondition = UNCONDITIONAL,
      within?: Within
    ): Promise<StoredTask | undefined> {
      const { title = null, description = null, completed = null, dueAt = null } = change
      const values = {
        id,
        title,
        description_set: change.description !== undefined,
        description,
        completed,
        due_at_set: change.dueAt !== undefined,
        due_at: toUtc(dueAt),
        ...versionValues(condition)
      }
      return (await update(owner, values, within))[0]
    },

    /** Whether there was such a task, in such a version. */
    async remove(
      owner: Owner,
      id: string,
      condition: VersionCondition = UNCONDITIONAL,
      within?: Within
    ): Promise<boolean> {
      return (await remove(owner, { id, ...versionValues(condition) }, within)).length > 0
    }
  }
}
