import { Type } from '@sinclair/typebox'
import { problems, unauthorized } from '../http/openapi.ts'
import type { ProblemCode } from '../http/problems.ts'
import { UUID_PATTERN } from '../http/uuid.ts'
import type { Words } from './words.ts'

export const ETag = {
  type: 'string',
  description: 'Of exactly this answer; of one item, its version',
  examples: ['"1"']
}
export const Replayed = { type: 'string', description: '`true` when the answer was given before' }

const ifMatch = Type.Optional(
  Type.String({ description: 'The `ETag` of what you have seen: a 412 if it has changed since', examples: ['"1"'] })
)
const ifNoneMatch = Type.Optional(
  Type.String({ description: 'The `ETag` of what you have: a 304 if it is still so', examples: ['"1"'] })
)
export const ReadConditions = Type.Object({ 'if-match': ifMatch, 'if-none-match': ifNoneMatch })
export const WriteConditions = Type.Object({ 'if-match': ifMatch })

export const Params = Type.Object({
  id: Type.String({ pattern: UUID_PATTERN, description: 'A UUID', examples: ['019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708'] })
})

/** The answer to a read of what the client already has. */
export const Unchanged = { type: 'null', description: 'What you have is still so', headers: { ETag } }

/** The errors that a request body can cause. */
export const BODY_ERRORS = [
  'quota_exceeded',
  'invalid_json',
  'validation_failed',
  'value_out_of_range',
  'body_too_large',
  'unsupported_media_type'
] as const

/** The errors of a body whose item the constraints of its table refuse. */
export const WRITE_ERRORS = [...BODY_ERRORS, 'no_such_reference', 'not_unique'] as const

/** The same of a body that creates an item. */
export const CREATE_ERRORS = [...WRITE_ERRORS, 'already_exists'] as const

export const KEY_ERRORS = ['idempotency_key_in_flight', 'idempotency_key_reused'] as const

/** The errors of every operation. */
const COMMON_ERRORS = [
  ...unauthorized,
  'insufficient_scope',
  'rate_limited',
  'too_many_in_flight',
  'internal_error',
  'unavailable',
  'keys_unavailable',
  'bad_request',
  'url_too_long'
] as const

/** What the document says of an operation besides its parameters and its body. */
interface Operation {
  operationId: string
  summary: string
  /** Its answers other than errors, by their status. */
  success: Record<number, object>
  /** Its errors besides `COMMON_ERRORS`. */
  errors?: readonly ProblemCode[]
}

/** Makes what the document says of an operation of a resource. */
export const operation = ({ collection }: Words, verb: 'read' | 'write', described: Operation) =>
  operationOf(collection, [scopeOf(collection, verb)], described)

/**
 * Makes what the document says of an operation.
 *
 * @param scopes those that every request needs
 */
export function operationOf(tag: string, scopes: string[], { operationId, summary, ...rest }: Operation) {
  const response: Record<number, object> = { ...rest.success, ...problems(...COMMON_ERRORS, ...(rest.errors ?? [])) }
  if (response[412] !== undefined) response[412] = { ...response[412], headers: { ETag } }
  return { operationId, summary, tags: [tag], security: [{ bearer: scopes }], response }
}

/** The scope that a request needs: `tasks:read` for GET and HEAD, `tasks:write` for the rest. */
export const scopeOf = (collection: string, verb: 'read' | 'write') => `${collection}:${verb}`
