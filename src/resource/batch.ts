import type { Owner } from '../auth/user.ts'
import type { Transaction } from '../db/transaction.ts'
import { Problem, type ProblemCode } from '../http/problems.ts'
import { UNCONDITIONAL, type VersionCondition } from './preconditions.ts'
import { type Batch, MAX_OPERATIONS } from './schemas.ts'
import type { Store, Stored } from './store.ts'

const conditionOf = (version: number | undefined): VersionCondition =>
  version === undefined ? UNCONDITIONAL : { ifMatch: [version], ifNoneMatch: null }

/**
 * Throws `validation_failed` for more operations than a batch may have: of each kind the schema says it, of all it
 * cannot.
 */
export function checkSize({ create = [], update = [], delete: remove = [] }: Batch): void {
  if (create.length + update.length + remove.length <= MAX_OPERATIONS) return
  const detail = `must NOT have more than ${MAX_OPERATIONS} operations`
  throw new Problem('validation_failed', [{ in: 'body', pointer: '', detail }])
}

/** What a batch did: items as they are now, and the ids of those that are gone, in the order of the body. */
interface BatchResult {
  created: Stored[]
  updated: Stored[]
  deleted: string[]
}

/**
 * Does a batch in a transaction, all of it or nothing. It throws `notFound` or `precondition_failed`, with a pointer to
 * the first operation that could not be done.
 */
export async function runBatch(
  store: Store,
  owner: Owner,
  { create = [], update = [], delete: remove = [] }: Batch,
  transaction: Transaction,
  notFound: ProblemCode
): Promise<BatchResult> {
  const ids = [...update, ...remove].map(({ id }) => id)
  // All are sent before the first is answered, and done in this order. A batch whose rows were locked as it came to
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
    ...updated.map((item, i) => ({ done: item !== undefined, asked: update[i], pointer: `/update/${i}` })),
    ...removed.map((done, i) => ({ done, asked: remove[i], pointer: `/delete/${i}` }))
  ].find(({ done }) => !done)
  if (undone?.asked !== undefined) {
    const { id, version } = undone.asked
    const found = version !== undefined && (await store.get(owner, id, transaction)) !== undefined
    const problem = new Problem(found ? 'precondition_failed' : notFound)
    throw new Problem(problem.problem, [{ in: 'body', pointer: undone.pointer, detail: problem.message }])
  }
  return { created, updated: updated as Stored[], deleted: remove.map(({ id }) => id) }
}

/** The JSON that a batch is answered with. */
export function batchJson({ created, updated, deleted }: BatchResult): string {
  const jsons = (items: Stored[]) => items.map(({ json }) => json).join()
  return `{"created":[${jsons(created)}],"updated":[${jsons(updated)}],"deleted":${JSON.stringify(deleted)}}`
}

/** The same with the ids of the items alone, as an answer that is too large to keep is kept. */
export function batchOutline({ created, updated, deleted }: BatchResult): string {
  const ids = (items: Stored[]) => items.map(({ id }) => ({ id }))
  return JSON.stringify({ created: ids(created), updated: ids(updated), deleted })
}

/**
 * The JSON of an answer of which the outline was kept, of the items as they are now. Those that are gone are left out.
 */
export async function batchFromOutline(
  store: Store,
  owner: Owner,
  outline: string,
  transaction: Transaction
): Promise<string> {
  const { created, updated, deleted } = JSON.parse(outline) as Record<'created' | 'updated', { id: string }[]> & {
    deleted: string[]
  }
  const ids = [...created, ...updated].map(({ id }) => id)
  const found = new Map((await store.getAll(owner, ids, transaction)).map((item) => [item.id, item]))
  const there = (named: { id: string }[]) => named.flatMap(({ id }) => found.get(id) ?? [])
  return batchJson({ created: there(created), updated: there(updated), deleted })
}
