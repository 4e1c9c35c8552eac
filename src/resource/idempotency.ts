import { createHash } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import { eq, sql } from 'drizzle-orm'
import type { Owner } from '../auth/user.ts'
import type { OwnedBy } from '../db/owned.ts'
import { isExpired } from '../db/owned-table.ts'
import { idempotencyKeys } from '../db/schema.ts'
import { Busy, type Transact, type Transaction } from '../db/transaction.ts'
import type { Deadline } from '../http/deadline.ts'
import type { ProblemCode } from '../http/problems.ts'

/** What a POST answers: the JSON of its body, and the URL of what it made, if it made one thing. */
export interface Answer {
  json: string
  location: string | null
}

/**
 * An answer to be kept. With `outline`, the JSON of what it names, an answer that is too large to keep is put together
 * anew.
 */
export type Earned = Answer & { outline?: string }

/** The largest answer that is kept as it is, in bytes of UTF-8. Those of one task all fit. */
export const MAX_KEPT_BYTES = 64 * 1024

/**
 * The header of a POST that may be sent again: any visible ASCII (draft-ietf-httpapi-idempotency-key-header-07 section
 * 2).
 */
export const IdempotencyKey = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      pattern: '^[\\x21-\\x7e]{1,255}$',
      description: 'A text of your own for this request: sent again with it, the request is done once'
    })
  )
})

/** What is used of an application. */
interface Database {
  owned: OwnedBy
  transaction: Transact
  storage: { add(owner: Owner, bytes: number): void }
}

interface Options {
  rebuild?: (outline: string, transaction: Transaction) => Promise<string>
  within?: Deadline | undefined
}

/** JSON with the members of each object in one order: none is promised to who sends them (RFC 8259 section 4). */
const canonical = (value: unknown) =>
  JSON.stringify(value, (_name, one: unknown) =>
    typeof one === 'object' && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one
  )

/**
 * Does what a client asks for with an `Idempotency-Key` once: the answer is kept in the transaction that earned it, per
 * user and for 24 hours, and given again to whoever asks for the same with the same key.
 *
 * @param app what is kept is told to `storage`
 */
export function idempotency({ owned, transaction, storage }: Database) {
  const own = owned(idempotencyKeys)
  const { digest, json, abridged, location } = idempotencyKeys
  const byKey = eq(idempotencyKeys.key, sql.placeholder('key'))
  const over = isExpired(idempotencyKeys.createdAt)

  const find = own.prepare((own) => own.select({ digest, json, abridged, location }, byKey))
  const forget = own.prepare((own) => own.delete(byKey, over).returning({ digest }))
  const keep = own.prepare((own) =>
    own
      .insert({
        key: sql.placeholder('key'),
        digest: sql.placeholder('digest'),
        json: sql.placeholder('json'),
        abridged: sql.placeholder('abridged'),
        location: sql.placeholder('location')
      })
      .returning({ digest })
  )

  /**
   * @param asked all that makes a request another one: it must be JSON, in which the order of members is none
   * @param work earns the answer, in the transaction; when it throws nothing is kept
   * @param options.rebuild the JSON of an answer that only its outline was kept of, from what there is now
   * @param options.within the time of the request
   * @returns the answer, and whether it was given before; or why not: the key is of another request, or of one in
   * flight
   */
  return async (
    owner: Owner,
    key: string,
    asked: unknown,
    work: (transaction: Transaction) => Promise<Earned>,
    { rebuild = async (outline: string) => outline, within }: Options = {}
  ): Promise<(Answer & { replayed: boolean }) | ProblemCode> => {
    const digest = createHash('sha256').update(canonical(asked)).digest('base64url')
    try {
      return await transaction(
        owner,
        async (transaction) => {
          const [, [known]] = await Promise.all([
            forget(owner, { key }, transaction),
            find(owner, { key }, transaction)
          ])
          if (known !== undefined) {
            if (known.digest !== digest) return 'idempotency_key_reused'
            const json = known.abridged ? await rebuild(known.json, transaction) : known.json
            return { json, location: known.location, replayed: true }
          }
          const { json, location, outline = json } = await work(transaction)
          const abridged = Buffer.byteLength(json) > MAX_KEPT_BYTES
          const kept = abridged ? outline : json
          storage.add(owner, Buffer.byteLength(kept))
          await keep(owner, { key, digest, json: kept, abridged, location }, transaction)
          return { json, location, replayed: false }
        },
        { within, lockKey: key }
      )
    } catch (error) {
      if (error instanceof Busy) return 'idempotency_key_in_flight'
      throw error
    }
  }
}
