import { problems, unauthorized } from '../http/openapi.ts'
import type { ProblemCode } from '../http/problems.ts'

export const ETag = { type: 'string', description: 'Of exactly this answer; of a task, its version', examples: ['"1"'] }
export const Replayed = { type: 'string', description: '`true` when the answer was given before' }

/** What the document says of an operation: its answers are `success` and the errors of all, and of its own. */
export const operation = (
  operationId: string,
  summary: string,
  scope: 'tasks:read' | 'tasks:write',
  success: Record<number, object>,
  ...errors: ProblemCode[]
) => {
  const common = [
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
  const response: Record<number, object> = { ...success, ...problems(...common, ...errors) }
  if (response[412] !== undefined) response[412] = { ...response[412], headers: { ETag } }
  return { operationId, summary, tags: ['tasks'], security: [{ bearer: [scope] }], response }
}

/** The errors that a request body can cause. */
export const BODY_ERRORS = [
  'quota_exceeded',
  'invalid_json',
  'validation_failed',
  'value_out_of_range',
  'body_too_large',
  'unsupported_media_type'
] as const

export const KEY_ERRORS = ['idempotency_key_in_flight', 'idempotency_key_reused'] as const
