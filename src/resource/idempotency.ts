import { Type } from '@sinclair/typebox'
import { eq, sql } from 'drizzle-orm'
import type { Owner } from '../auth/user.ts'
import type { OwnedBy } from '../db/owned.ts'
import { idempotencyKeys } from '../db/system-tables.ts'
import { isExpired } from '../db/tables.ts'
import { LockNotAvailable, type Transact, type Transaction } from '../db/transaction.ts'
import type { Deadline } from '../http/deadline.ts'
import type { ProblemCode } from '../http/problems.ts'
import { digestOf } from './digest.ts'

/** The answer to a POST: the JSON of its body, and the URL of the item if it created exactly one. */
export interface Answer {
  json: string
  location: string | null
}

/**
 * An answer to store, unless `keep` is false. When its JSON is too large, only its `outline` is stored: JSON that names
 * the items of the answer. A retry then rebuilds the answer from the outline.
 */
export type Earned = Answer & { outline?: string; keep?: boolean }

/** The size up to which an answer is stored in full, in bytes of UTF-8. The answer for one task always fits. */
export const MAX_KEPT_BYTES = 64 * 1024

/**
 * The header of a POST that a client may retry (draft-ietf-httpapi-idempotency-key-header-07 section 2). Any visible
 * ASCII is accepted.
 */
export const IdempotencyKey = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      pattern: '^[\\x21-\\x7e]{1,255}$',
      description: 'A unique text of your choice. A request that is sent again with the same key is performed once.'
    })
  )
})

/** The parts of the application that are used here. */
interface Database {
  owned: OwnedBy
  transaction: Transact
  storage: { add(owner: Owner, bytes: number): void }
}

/** Performs a request with an `Idempotency-Key` once. */
export type Idempotent = ReturnType<typeof idempotency>

interface Options {
  rebuild?: (outline: string, transaction: Transaction) => Promise<string>
  within?: Deadline | undefined
}

/**
 * Makes the function that performs a request with an `Idempotency-Key` once. It stores the answer for 24 hours, in the
 * transaction of the request. The same user receives the stored answer again for the same request with the same key.
 *
 * The stored bytes count against the storage quota of the user.
 */
export function idempotency({ owned, transaction, storage }: Database) {
  const own = owned(idempotencyKeys)
  const { digest, json, abridged, location } = idempotencyKeys
  const byKey = eq(idempotencyKeys.key, sql.placeholder('key'))
  const expired = isExpired(idempotencyKeys.createdAt)

  const find = own.prepare((own) => own.select({ digest, json, abridged, location }, byKey))
  const deleteExpired = own.prepare((own) => own.delete(byKey, expired).returning({ digest }))
  const store = own.prepare((own) =>
    own
      .insert(
        {
          key: sql.placeholder('key'),
          digest: sql.placeholder('digest'),
          json: sql.placeholder('json'),
          abridged: sql.placeholder('abridged'),
          location: sql.placeholder('location')
        },
        'unless there'
      )
      .returning({ digest })
  )

  /**
   * @param request a JSON value that identifies the request; the order of its members has no meaning
   * @param work performs the request in the transaction; when it throws, nothing is stored
   * @param options.rebuild makes the JSON of an answer from its outline and the current rows
   * @param options.within the deadline of the request
   * @returns the answer, and whether it was stored before; or a problem when the key belongs to a different request, or
   * to a request in flight
   */
  return async (
    owner: Owner,
    key: string,
    request: unknown,
    work: (transaction: Transaction) => Promise<Earned>,
    { rebuild = async (outline: string) => outline, within }: Options = {}
  ): Promise<(Answer & { replayed: boolean }) | ProblemCode> => {
    const digest = digestOf(request)
    try {
      return await transaction(
        owner,
        async (transaction) => {
          const [, [stored]] = await Promise.all([
            deleteExpired(owner, { key }, transaction),
            find(owner, { key }, transaction)
          ])
          if (stored !== undefined) {
            if (stored.digest !== digest) return 'idempotency_key_reused'
            const json = stored.abridged ? await rebuild(stored.json, transaction) : stored.json
            return { json, location: stored.location, replayed: true }
          }
          const { json, location, outline = json, keep = true } = await work(transaction)
          if (!keep) return { json, location, replayed: false }
          const abridged = Buffer.byteLength(json) > MAX_KEPT_BYTES
          const storedJson = abridged ? outline : json
          const kept = await store(owner, { key, digest, json: storedJson, abridged, location }, transaction)
          // Another transaction stored the key in the meantime, without the lock or past it (through a pooler, say). It
          // was in flight when this one looked, so this one is undone. A retry gets the stored answer.
          if (kept.length === 0) throw new LockNotAvailable()
          storage.add(owner, Buffer.byteLength(storedJson))
          return { json, location, replayed: false }
        },
        { within, lockKey: key }
      )
    } catch (error) {
      if (error instanceof LockNotAvailable) return 'idempotency_key_in_flight'
      throw error
    }
  }
}
