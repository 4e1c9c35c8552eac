import { type IncomingMessage, STATUS_CODES } from 'node:http'
import { Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'

type Row = readonly [status: number, detail: string, field?: string | number]

/** Seconds after which a client may try again when we cannot say better (RFC 9110 section 10.2.3). */
const RETRY_AFTER_SECONDS = 1

/**
 * Every error the service can send: code -> [status, detail, what a header field of it says]. That is the seconds of
 * `Retry-After` where the same request may succeed later, or the RFC 6750 challenge.
 *
 * The challenge is what follows `Bearer` in `WWW-Authenticate` (RFC 6750 section 3): nothing when the request carried
 * no bearer credentials at all, `invalid_token` when it carried bad ones.
 */
const table = {
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
  task_not_found: [404, 'Task not found'],
  method_not_allowed: [405, 'Method not allowed'],
  request_timeout: [408, 'The request took too long to arrive'],
  idempotency_key_in_flight: [
    409,
    'The first request with this idempotency key is not answered yet',
    RETRY_AFTER_SECONDS
  ],
  quota_exceeded: [409, 'You have stored as much as you may'],
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
} as const satisfies Record<string, Row>

export type ProblemCode = keyof typeof table

/** The schema of an error body (RFC 9457), as every route documents it. */
export const ProblemSchema = Type.Object(
  {
    type: Type.Literal('about:blank', { description: 'RFC 9457: the title is that of the status' }),
    title: Type.String({ examples: ['Bad Request'] }),
    status: Type.Integer({ examples: [400] }),
    detail: Type.String({ examples: ['The request does not fit the schema'] }),
    code: Type.Unsafe<ProblemCode>({ type: 'string', description: 'Stable, for programs', enum: Object.keys(table) }),
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

interface Entry {
  status: number
  /** The media type is `application/problem+json` in UTF-8; made once, so that equal answers are equal bytes. */
  body: Buffer
  members: { type: string; title: string | undefined; status: number; detail: string; code: ProblemCode }
  challenge: string | undefined
  retryAfter: number | undefined
}

const challengeOf = (error: string, detail: string) =>
  // A quoted-string cannot hold a quotation mark; none of our details has one (asserted by a test).
  error === '' ? 'Bearer' : `Bearer error="${error}", error_description="${detail}"`

const entries = new Map<ProblemCode, Entry>()
for (const [name, [status, detail, field]] of Object.entries<Row>(table)) {
  const code = name as ProblemCode
  const members = { type: 'about:blank', title: STATUS_CODES[status], status, detail, code }
  entries.set(code, {
    status,
    body: Buffer.from(JSON.stringify(members)),
    members,
    challenge: typeof field === 'string' ? challengeOf(field, detail) : undefined,
    retryAfter: typeof field === 'number' ? field : undefined
  })
}

const entryOf = (code: ProblemCode): Entry => entries.get(code) as Entry

/** `[code, status, detail]` of every error, for the README's table and the documents of the routes. */
export const problemList = [...entries].map(([code, { status, members }]) => [code, status, members.detail] as const)

/** The members of a problem without faults. */
export const problemMembers = (code: ProblemCode) => entryOf(code).members

export const PROBLEM_JSON = 'application/problem+json; charset=utf-8'

/** One fault of a request: where it was, a JSON Pointer to it, and what is wrong there. */
export interface Fault {
  in: string
  pointer: string
  detail: string
}

/**
 * An error to throw where there is no reply at hand (parsers, schema validation). The error handler answers it with
 * its code. Nothing of it reaches the client but what the table holds and, for validation, the faults.
 */
export class Problem extends Error {
  readonly problem: ProblemCode
  readonly faults: Fault[] | undefined

  constructor(code: ProblemCode, faults?: Fault[]) {
    super(entryOf(code).members.detail)
    this.problem = code
    this.faults = faults
  }
}

/**
 * Answers `reply` with a problem document (RFC 9457): status, body, and the header fields that it requires
 * (`WWW-Authenticate`, `Retry-After`). Returns the reply, for `return sendProblem(...)`.
 */
export function sendProblem(reply: FastifyReply, code: ProblemCode, faults?: Fault[]): FastifyReply {
  const { status, body, members, challenge, retryAfter } = entryOf(code)
  // Without it some may be stored (RFC 9111 section 4.2.2), and shown again when what was wrong is over.
  reply.code(status).header('content-type', PROBLEM_JSON).header('cache-control', 'no-store')
  if (challenge !== undefined) reply.header('www-authenticate', challenge)
  if (retryAfter !== undefined && !reply.hasHeader('retry-after')) reply.header('retry-after', retryAfter)
  return reply.send(faults === undefined ? body : Buffer.from(JSON.stringify({ ...members, errors: faults })))
}

/** What the router refused of a request, before it had a route: the handler of unknown paths answers it. */
export const refusals = new WeakMap<IncomingMessage, ProblemCode>()

/** The bytes of a whole HTTP/1.1 answer, for a request that Node's parser refused before there was a reply. */
export function rawProblem(code: ProblemCode, requestId: string): string {
  const { status, body } = entryOf(code)
  return (
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: ${PROBLEM_JSON}\r\nContent-Length: ${body.length}\r\n` +
    `Cache-Control: no-store\r\nDate: ${new Date().toUTCString()}\r\nX-Request-Id: ${requestId}\r\n` +
    `X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n${body.toString()}`
  )
}

// Codes of Fastify (its Errors reference) and of Node's HTTP parser that have a problem of their own.
const foreign: Partial<Record<string, ProblemCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'invalid_json',
  FST_ERR_MAX_PARAM_LENGTH: 'url_too_long',
  // The client went away in the middle of its body.
  ECONNRESET: 'bad_request',
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout'
}

/** The problem for an error that the framework or Node's parser raised; `otherwise` when it is neither's. */
export function problemOfFramework<T>(error: { code?: string | undefined; statusCode?: number }, otherwise: T) {
  const { code = '', statusCode = 500 } = error
  return foreign[code] ?? (statusCode < 500 ? 'bad_request' : otherwise)
}

/** What tells why something failed: members of Node's errors, and of those of postgres.js. */
interface Reason {
  code?: unknown
  constraint_name?: string
  table_name?: string
  column_name?: string
  routine?: string
}

type Thrown = Error & Reason & { query?: string }

/** How deep an error that caused another may be. */
const MAX_CAUSES = 4

/** Of an error and those that caused it the first that says why: Drizzle keeps PostgreSQL's as the cause of its own. */
function reasonOf(error: Thrown): Reason {
  let one: unknown = error
  for (let depth = 0; depth <= MAX_CAUSES && one instanceof Error; depth++) {
    if ('code' in one) return one
    one = one.cause
  }
  return {}
}

/**
 * What may be logged of an error: never a value that a user stores. The message of a failed query holds the parameters
 * of its statement, and so may PostgreSQL's message and detail; instead there are the statement, and the names of what
 * failed.
 */
export function loggable(error: Thrown) {
  const { name, message, query, stack = '' } = error
  const { code, constraint_name: constraint, table_name: table, column_name: column, routine } = reasonOf(error)
  const frames = stack.slice(stack.indexOf('\n    at '))
  // Fastify's own message holds the URL.
  const told = code === 'FST_ERR_REP_ALREADY_SENT' ? 'The reply was sent already' : (query ?? message)
  return { type: name, message: told, code, constraint, table, column, routine, stack: frames }
}
