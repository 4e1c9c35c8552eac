import { STATUS_CODES } from 'node:http'
import { Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'

type Definition = readonly [status: number, detail: string, field?: string | number]

/** Seconds after which a client may retry, when the service knows no better value (RFC 9110 section 10.2.3). */
const RETRY_AFTER_SECONDS = 1

/**
 * Every error that the service can send: code -> [status, detail, header field]. The header field is `Retry-After` in
 * seconds when the same request may succeed later, or the error of an RFC 6750 challenge.
 *
 * The error follows `Bearer` in `WWW-Authenticate` (RFC 6750 section 3). It is empty when the request carried no bearer
 * credentials, and `invalid_token` when it carried bad ones.
 */
const PROBLEMS = {
  bad_request: [400, 'The request is malformed'],
  invalid_json: [400, 'The body is not valid JSON'],
  validation_failed: [400, 'The request does not fit the schema'],
  value_out_of_range: [400, 'A value cannot be stored'],
  authorization_missing: [401, 'Authorization header missing', ''],
  authorization_scheme: [401, 'Invalid authorization format. Use: Bearer <token>', ''],
  authorization_format: [401, 'Invalid authorization format. Use: Bearer <token>', 'invalid_token'],
  token_subject: [401, 'Invalid token: missing user identifier', 'invalid_token'],
  token_too_long: [401, 'Invalid token: longer than 8 KiB', 'invalid_token'],
  token_malformed: [401, 'Invalid token: malformed', 'invalid_token'],
  token_algorithm: [401, 'Invalid token: algorithm not accepted', 'invalid_token'],
  token_type: [401, 'Invalid token: type not accepted', 'invalid_token'],
  token_critical: [401, 'Invalid token: critical header not understood', 'invalid_token'],
  token_key: [401, 'Invalid token: signed with an unknown key', 'invalid_token'],
  token_signature: [401, 'Invalid token: wrong signature', 'invalid_token'],
  token_claim: [401, 'Invalid token: a claim is missing or has the wrong type', 'invalid_token'],
  token_expired: [401, 'Invalid token: expired', 'invalid_token'],
  token_not_yet: [401, 'Invalid token: not valid yet', 'invalid_token'],
  token_lifetime: [401, 'Invalid token: lifetime too long', 'invalid_token'],
  token_bound: [401, 'Invalid token: bound to its holder, not a bearer token', 'invalid_token'],
  token_issuer: [401, 'Invalid token: wrong issuer', 'invalid_token'],
  token_audience: [401, 'Invalid token: wrong audience', 'invalid_token'],
  insufficient_scope: [403, "You don't have permission to access this resource", 'insufficient_scope'],
  not_found: [404, 'Not found'],
  method_not_allowed: [405, 'Method not allowed'],
  request_timeout: [408, 'The request took too long to arrive'],
  idempotency_key_in_flight: [
    409,
    'The first request with this idempotency key is not answered yet',
    RETRY_AFTER_SECONDS
  ],
  quota_exceeded: [409, 'You have stored as much as you may'],
  no_such_reference: [409, 'The request refers to something that is not there'],
  still_referenced: [409, 'Something else still refers to it'],
  not_unique: [409, 'You already have one like it'],
  already_exists: [409, 'There is another one with this id'],
  precondition_failed: [412, 'The resource has changed since'],
  body_too_large: [413, 'The body is too large'],
  url_too_long: [414, 'The URL is too long'],
  unsupported_media_type: [415, 'The content type is not supported'],
  expectation_failed: [417, 'The expectation cannot be met'],
  idempotency_key_reused: [422, 'The idempotency key was used for another request'],
  rate_limited: [429, 'Too many requests'],
  too_many_in_flight: [429, 'Too many requests in flight', RETRY_AFTER_SECONDS],
  headers_too_large: [431, 'The headers are too large'],
  internal_error: [500, 'Something went wrong'],
  unavailable: [503, 'The service is temporarily unavailable', RETRY_AFTER_SECONDS],
  keys_unavailable: [503, 'The keys of the issuer are temporarily unavailable', RETRY_AFTER_SECONDS]
} as const satisfies Record<string, Definition>

/** The 404 of a resource: `task_not_found`. */
export type NotFoundCode = `${string}_not_found`

export type ProblemCode = keyof typeof PROBLEMS | NotFoundCode

const codes: ProblemCode[] = []

/** The schema of an error body (RFC 9457), as every route documents it. */
export const ProblemSchema = Type.Object(
  {
    type: Type.Literal('about:blank', { description: 'RFC 9457: the title is that of the status' }),
    title: Type.String({ examples: ['Bad Request'] }),
    status: Type.Integer({ examples: [400] }),
    detail: Type.String({ examples: ['The request does not fit the schema'] }),
    code: Type.Unsafe<ProblemCode>({
      type: 'string',
      description: 'Stable, for programs',
      // It grows with the 404s of the resources.
      enum: codes
    }),
    errors: Type.Optional(
      Type.Array(
        Type.Object(
          {
            in: Type.Union([Type.Literal('body'), Type.Literal('query'), Type.Literal('header')]),
            pointer: Type.String({
              description: 'JSON Pointer (RFC 6901) to the value at fault',
              examples: ['/title']
            }),
            detail: Type.String({ examples: ['must NOT have more than 200 characters'] })
          },
          { additionalProperties: false }
        ),
        { maxItems: 20 }
      )
    )
  },
  { title: 'Problem', additionalProperties: false }
)

/** The parts of the answer for a problem. They are made once. */
export interface Prepared {
  status: number
  /** The `application/problem+json` in UTF-8. It is made once, so that equal answers are equal bytes. */
  body: Buffer
  members: { type: string; title: string | undefined; status: number; detail: string; code: ProblemCode }
  challenge: string | undefined
  retryAfter: number | undefined
}

const challengeOf = (error: string, detail: string) =>
  // A quoted string cannot contain a quotation mark. A test checks that no detail has one.
  error === '' ? 'Bearer' : `Bearer error="${error}", error_description="${detail}"`

const prepared = new Map<ProblemCode, Prepared>()

function define(code: ProblemCode, [status, detail, field]: Definition): void {
  const members = { type: 'about:blank', title: STATUS_CODES[status], status, detail, code }
  codes.push(code)
  prepared.set(code, {
    status,
    body: Buffer.from(JSON.stringify(members)),
    members,
    challenge: typeof field === 'string' ? challengeOf(field, detail) : undefined,
    retryAfter: typeof field === 'number' ? field : undefined
  })
}

for (const [code, definition] of Object.entries<Definition>(PROBLEMS)) define(code as ProblemCode, definition)

/** Adds the 404 of a resource to the table: `defineNotFound('task_not_found', 'Task not found')`. */
export function defineNotFound(code: NotFoundCode, detail: string): void {
  if (!prepared.has(code)) define(code, [404, detail])
}

/** Returns the parts of the answer for a problem. */
export const preparedProblem = (code: ProblemCode): Prepared => prepared.get(code) as Prepared

/** `[code, status, detail]` of every error, for the table in the documentation and for the OpenAPI document. */
export const listProblems = () =>
  [...prepared].map(([code, { status, members }]) => [code, status, members.detail] as const)

/** Returns the members of a problem document without issues. */
export const problemMembers = (code: ProblemCode) => preparedProblem(code).members

export const PROBLEM_JSON = 'application/problem+json; charset=utf-8'

/**
 * One reason why a request does not fit its schema: the part of the request, a JSON Pointer into it, and a sentence.
 */
export interface ValidationIssue {
  in: string
  pointer: string
  detail: string
}

/**
 * An error to throw where no reply is available (parsers, schema validation, the store). The error handler answers with
 * its code. The client receives the text of the table, or a `detail` that says more, and the issues.
 */
export class Problem extends Error {
  readonly problem: ProblemCode
  readonly issues: ValidationIssue[] | undefined

  constructor(code: ProblemCode, issues?: ValidationIssue[], detail = preparedProblem(code).members.detail) {
    super(detail)
    this.problem = code
    this.issues = issues
  }
}

/**
 * Answers with a problem document (RFC 9457): status, body, and the header fields of the problem (`WWW-Authenticate`,
 * `Retry-After`). Returns the reply, for `return sendProblem(...)`.
 */
export function sendProblem(
  reply: FastifyReply,
  code: ProblemCode,
  issues?: ValidationIssue[],
  detail?: string
): FastifyReply {
  const { status, body, members, challenge, retryAfter } = preparedProblem(code)
  // Without `no-store`, a cache may store some errors (RFC 9111 section 4.2.2) and repeat them after they are solved.
  reply.code(status).header('content-type', PROBLEM_JSON).header('cache-control', 'no-store')
  if (challenge !== undefined) reply.header('www-authenticate', challenge)
  if (retryAfter !== undefined && !reply.hasHeader('retry-after')) reply.header('retry-after', retryAfter)
  if (issues === undefined && (detail === undefined || detail === members.detail)) return reply.send(body)
  return reply.send(
    Buffer.from(JSON.stringify({ ...members, ...(detail !== undefined && { detail }), errors: issues }))
  )
}
