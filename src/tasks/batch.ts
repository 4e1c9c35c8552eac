import type { Owner } from '../auth/user.ts'
import type { Transaction } from '../db/transaction.ts'
import { UNCONDITIONAL, type VersionCondition } from '../http/preconditions.ts'
import { Problem } from '../http/problems.ts'
import { MAX_OPERATIONS, type TaskBatch } from './schemas.ts'
import type { StoredTask, taskStore } from './store.ts'

const conditionOf = (version: number | undefined): VersionCondition =>
  version === undefined ? UNCONDITIONAL : { ifMatch: [version], ifNoneMatch: null }

/**
 * Throws `validation_failed` for more operations than a batch may have: of each kind the schema says it, of all it
 * cannot.
 */
export function checkSize({ create = [], update = [], delete: remove = [] }: TaskBatch): void {
  if (create.length + update.length + remove.length <= MAX_OPERATIONS) return
  const detail = `must NOT have more than ${MAX_OPERATIONS} operations`
  throw new Problem('validation_failed', [{ in: 'body', pointer: '', detail }])
}

/** What a batch did: tasks as they are now, and the ids of those that are gone, in the order of the body. */
interface BatchResult {
  created: StoredTask[]
  updated: StoredTask[]
  deleted: string[]
}

/**
 * Does a batch in a transaction, all of it or nothing. It throws `task_not_found` or
 * `precondition_failed`, with a pointer to the first operation that could not be done.
 */
export async function runBatch(
  store: ReturnType<typeof taskStore>,
  owner: Owner,
  { create = [], update = [], delete: remove = [] }: TaskBatch,
  transaction: Transaction
): Promise<BatchResult> {
  const ids = [...update, ...remove].map(({ id }) => id)
  // All are sent before the first is answered, and done in this order. A batch whose tasks were locked as it came to
  // them would wait for another that has them the other way round, or for one write that waits for the feed.
  const [, created, updated, removed] = await Promise.all([
    ids.length > 0 && store.lock(owner, ids, transaction),
    store.createAll(owner, create, transaction),
    Promise.all(
      update.map(({ id, change, version }) => store.update(owner, id, change, conditionOf(version), transaction))
    ),
    Promise.all(remove.map(({ id, version }) => store.remove(owner, id, conditionOf(version), transaction)))
  ])
  const undone = [
    ...updated.map((task, i) => ({ done: task !== undefined, asked: update[i], pointer: `/update/${i}` })),
    ...removed.map((done, i) => ({ done, asked: remove[i], pointer: `/delete/${i}` }))
  ].find(({ done }) => !done)
  if (undone?.asked !== undefined) {
    const { id, version } = undone.asked
    const found = version !== undefined && (await store.get(owner, id, transaction)) !== undefined
    const problem = new Problem(found ? 'precondition_failed' : 'task_not_found')
    throw new Problem(problem.problem, [{ in: 'body', pointer: undone.pointer, detail: problem.message }])
  }
  return { created, updated: updated as StoredTask[], deleted: remove.map(({ id }) => id) }
}

/** The JSON that a batch is answered with. */
export function batchJson({ created, updated, deleted }: BatchResult): string {
  const jsons = (tasks: StoredTask[]) => tasks.map(({ json }) => json).join()
  return `{"created":[${jsons(created)}],"updated":[${jsons(updated)}],"deleted":${JSON.stringify(deleted)}}`
}

/** The same with the ids of the tasks alone, as an answer that is too large to keep is kept. */
export function batchOutline({ created, updated, deleted }: BatchResult): string {
  const ids = (tasks: StoredTask[]) => tasks.map(({ id }) => ({ id }))
  return JSON.stringify({ created: ids(created), updated: ids(updated), deleted })
}

/**
 * The JSON of an answer of which the outline was kept, of the tasks as they are now. Those that are gone are left out.
 */
export async function batchFromOutline(
  store: ReturnType<typeof taskStore>,
  owner: Owner,
  outline: string,
  transaction: Transaction
): Promise<string> {
  const { created, updated, deleted } = JSON.parse(outline) as Record<'created' | 'updated', { id: string }[]> & {
    deleted: string[]
  }
  const ids = [...created, ...updated].map(({ id }) => id)
  const found = new Map((await store.getAll(owner, ids, transaction)).map((task) => [task.id, task]))
  const there = (named: { id: string }[]) => named.flatMap(({ id }) => found.get(id) ?? [])
  return batchJson({ created: there(created), updated: there(updated), deleted })
}
