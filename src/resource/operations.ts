import type { Owner } from '../auth/user.ts'
import { isInFailedTransaction } from '../db/errors.ts'
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
 * What an operation did, and whether it asked for a version. Without JSON there was no such item in such a version, so
 * it did nothing.
 */
type Outcome = Did & { json: string | undefined; isConditional: boolean }

/**
 * Does one operation.
 *
 * @param newId the id of the item that it creates
 */
async function perform(operation: Operation, owner: Owner, newId: string, transaction: Transaction): Promise<Outcome> {
  const { resource, values } = operation
  const { store } = resource
  if ('create' in operation) {
    const { id, json } = await pointTo(values, store.createClaimed(owner, operation.create, newId, transaction))
    return { resource, how: 'created', id, json, isConditional: false }
  }
  if ('update' in operation) {
    const { id, change, version } = operation.update
    const item = await pointTo(values, store.update(owner, id, change, conditionOf(version), transaction))
    return { resource, how: 'updated', id: item?.id ?? id, json: item?.json, isConditional: version !== undefined }
  }
  const { id, version } = operation.delete
  const removed = await pointTo(values, store.remove(owner, id, conditionOf(version), transaction))
  const json = removed ? JSON.stringify(id) : undefined
  return { resource, how: 'deleted', id, json, isConditional: version !== undefined }
}

/**
 * Takes room for the items that operations create. Empty if no resource has a bound. The order of the resources keeps
 * two batches from waiting for each other.
 */
const claimRoom = (operations: readonly Operation[], owner: Owner, transaction: Transaction): Promise<void>[] =>
  resourcesOf(operations).flatMap((resource) => {
    const items = operations.flatMap((one) => ('create' in one && one.resource === resource ? [one.create] : []))
    return resource.store.claim(owner, items, transaction) ?? []
  })

/** Sends operations in their order. One that takes others with it is done before the next is sent. */
async function sendAll(operations: readonly Operation[], owner: Owner, transaction: Transaction) {
  // The ids of new items are in the order of the operations.
  const ids = uuidv7s(operations.length)
  const sent: Promise<PromiseSettledResult<Outcome>[]>[] = []
  for (const [i, operation] of operations.entries()) {
    // One may fail while another is waited for.
    const settled = Promise.allSettled([perform(operation, owner, ids[i] as string, transaction)])
    sent.push(settled)
    if ('delete' in operation && operation.resource.store.cascades) await settled
  }
  // All are waited for: what goes on when the transaction has ended could send statements outside of it.
  return (await Promise.all(sent)).flat()
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
  // All are sent before the first is answered, unless room must be taken first.
  const locked = lockItems(operations, owner, transaction)
  const claims = claimRoom(operations, owner, transaction)
  if (claims.length > 0) valuesOf(await Promise.allSettled([locked, ...claims]))
  const [[lock], outcomes] = await Promise.all([Promise.allSettled([locked]), sendAll(operations, owner, transaction)])
  const [there] = valuesOf([lock]) as [Set<string>]
  const failure = failureOf(outcomes)
  return outcomes.map((outcome, i) => {
    if (outcome.status === 'rejected') throw failure
    const { json, isConditional, ...did } = outcome.value
    const key = keyOf(did.resource, did.id)
    if (json === undefined) {
      const isChanged = isConditional && there.has(key)
      const { pointer } = operations[i] as Operation
      throw problemAt(pointer, new Problem(isChanged ? 'precondition_failed' : did.resource.notFound))
    }
    if (did.how === 'deleted') there.delete(key)
    else there.add(key)
    return { ...did, json }
  })
}

/** The first that failed by itself. Behind a statement that fails all others fail, and their errors may come first. */
function failureOf(outcomes: readonly PromiseSettledResult<unknown>[]): unknown {
  const reasons = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
  return reasons.find((reason) => !isInFailedTransaction(reason)) ?? reasons[0]
}

function valuesOf<T>(outcomes: readonly PromiseSettledResult<T>[]): T[] {
  const failure = failureOf(outcomes)
  if (failure !== undefined) throw failure
  return outcomes.map((one) => (one as PromiseFulfilledResult<T>).value)
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
