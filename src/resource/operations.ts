import type { Owner } from '../auth/user.ts'
import type { Transaction } from '../db/transaction.ts'
import { Problem } from '../http/problems.ts'
import { uuidv7s } from '../http/uuid.ts'
import { pointTo, problemAt } from './pointers.ts'
import { UNCONDITIONAL, type VersionCondition } from './preconditions.ts'
import type { Context } from './routes/context.ts'
import type { Asked } from './schemas.ts'

/** One operation on an item of a resource. */
export type Operation = Asked & {
  resource: Context
  /** Points to the operation in the body. */
  pointer: string
  /** Points to the values that it gives to members. */
  values: string
}

/** What an operation did to which item. */
export interface Did {
  resource: Context
  how: 'created' | 'updated' | 'deleted'
  id: string
}

/** The same with the JSON of the item as it is now, or with that of its id when it is gone. */
export interface Done extends Did {
  json: string
}

/** How the answer to operations is written. */
export interface AnswerFormat {
  write(done: readonly Done[]): string
  /** Reads such an answer again, of whose items it needs the ids alone. */
  read(json: string): Did[]
}

/** The resources that these are of, in the order of their tables, whatever order these have. */
const resourcesOf = (all: readonly { resource: Context }[]) =>
  [...new Set(all.map(({ resource }) => resource))].sort((a, b) =>
    a.declaration.tableName < b.declaration.tableName ? -1 : 1
  )

/** Whether a user may store what operations bring. Ask before a transaction begins. */
export async function haveRoom(operations: readonly Operation[], owner: Owner): Promise<boolean> {
  for (const resource of resourcesOf(operations)) {
    const own = operations.filter((operation) => operation.resource === resource)
    const create = own.flatMap((operation) => ('create' in operation ? [operation.create] : []))
    const update = own.flatMap((operation) => ('update' in operation ? [operation.update] : []))
    if (!(await resource.size.fits(owner, { create, update }))) return false
  }
  return true
}

/**
 * Locks the items that operations change or delete, before the first of them is done. Otherwise a batch would wait for
 * another that has them the other way round, or for one write that waits for the feed.
 *
 * @returns the keys of those that are there
 */
async function lockItems(operations: readonly Operation[], owner: Owner, transaction: Transaction) {
  const named = operations.flatMap((operation) => {
    if ('create' in operation) return []
    return [{ resource: operation.resource, id: ('update' in operation ? operation.update : operation.delete).id }]
  })
  const locked = resourcesOf(named).map(async (resource) => {
    const ids = named.filter((one) => one.resource === resource).map(({ id }) => id)
    const rows = await resource.store.lock(owner, ids, transaction)
    return rows.map(({ id }) => keyOf(resource, id))
  })
  return new Set((await Promise.all(locked)).flat())
}

/** Names an item. Two resources may each have one of the same id. */
const keyOf = ({ path }: Context, id: string) => `${path}/${id.toLowerCase()}`

const conditionOf = (version: number | undefined): VersionCondition =>
  version === undefined ? UNCONDITIONAL : { ifMatch: [version], ifNoneMatch: null }

/**
 * Does one operation.
 *
 * @param newId the id of the item that it creates
 * @returns what it did; without JSON when there is no such item in such a version, and so it did nothing
 */
async function perform(
  operation: Operation,
  owner: Owner,
  newId: string,
  transaction: Transaction
): Promise<Did & { json: string | undefined }> {
  const { resource, values } = operation
  const { store } = resource
  if ('create' in operation) {
    const { id, json } = await pointTo(values, store.create(owner, operation.create, transaction, newId))
    return { resource, how: 'created', id, json }
  }
  if ('update' in operation) {
    const { id, change, version } = operation.update
    const item = await pointTo(values, store.update(owner, id, change, conditionOf(version), transaction))
    return { resource, how: 'updated', id: item?.id ?? id, json: item?.json }
  }
  const { id, version } = operation.delete
  const removed = await pointTo(values, store.remove(owner, id, conditionOf(version), transaction))
  return { resource, how: 'deleted', id, json: removed ? JSON.stringify(id) : undefined }
}

/**
 * Does operations in a transaction, in this order, all of them or none.
 *
 * @throws the problem of the first operation that could not be done, with a pointer to it: that its item is not there,
 * that the item has another version, or what the store says of its values
 */
export async function runOperations(
  operations: readonly Operation[],
  owner: Owner,
  transaction: Transaction
): Promise<Done[]> {
  // The ids of new items are in the order of the operations.
  const ids = uuidv7s(operations.length)
  // All are sent before the first is answered.
  const locked = lockItems(operations, owner, transaction)
  const sent = operations.map((operation, i) => perform(operation, owner, ids[i] as string, transaction))
  // PostgreSQL refuses whatever follows a statement that failed, so the first failure is the one that counts.
  const [[lock], outcomes] = await Promise.all([Promise.allSettled([locked]), Promise.allSettled(sent)])
  const there = resultOf(lock)
  return outcomes.map((outcome, i) => {
    const { json, ...did } = resultOf(outcome)
    const key = keyOf(did.resource, did.id)
    if (json === undefined) {
      const problem = new Problem(there.has(key) ? 'precondition_failed' : did.resource.notFound)
      throw problemAt((operations[i] as Operation).pointer, problem)
    }
    if (did.how === 'deleted') there.delete(key)
    else there.add(key)
    return { ...did, json }
  })
}

function resultOf<T>(outcome: PromiseSettledResult<T>): T {
  if (outcome.status === 'rejected') throw outcome.reason
  return outcome.value
}

/** What was done, with the items as they are now. Items that are gone by now are left out. */
export async function asTheyAre(all: readonly Did[], owner: Owner, transaction: Transaction): Promise<Done[]> {
  const jsons = new Map<string, string>()
  for (const resource of resourcesOf(all)) {
    const ids = all.filter((did) => did.resource === resource && did.how !== 'deleted').map(({ id }) => id)
    const items = await resource.store.getAll(owner, ids, transaction)
    for (const { id, json } of items) jsons.set(keyOf(resource, id), json)
  }
  return all.flatMap((did) => {
    const json = did.how === 'deleted' ? JSON.stringify(did.id) : jsons.get(keyOf(did.resource, did.id))
    return json === undefined ? [] : [{ ...did, json }]
  })
}
