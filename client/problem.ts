/** What is wrong with one value of a request. */
export interface Issue {
  in: string
  /** A JSON Pointer to the value (RFC 6901): `/title`. */
  pointer: string
  detail: string
}

/** The members of a problem document (RFC 9457), as the service answers it. */
interface Members {
  status: number
  code: string
  detail: string
  errors?: readonly Issue[]
}

/**
 * Every error that the client throws, except the reason of an aborted signal. The `code` is one of docs/errors.md, or
 * one of these:
 *
 * - `connection_lost`: no answer came. Nobody knows whether a write was done.
 * - `unrecognized_answer`: an error without a problem document, such as a proxy's page.
 * - `signed_out`: there is no token any more, or it is another user's.
 * - `token_unavailable`: the function `token` failed.
 */
export class Problem extends Error {
  override readonly name = 'Problem'
  /** The HTTP status; 0 when no answer came. */
  readonly status: number
  readonly code: string
  readonly errors: readonly Issue[]
  /** The `X-Request-Id` of the answer. The log of the service has it too. */
  readonly requestId: string | null
  /** Seconds after which the same request may succeed; undefined when repeating it does not help. */
  readonly retryAfter: number | undefined
  /** The item as it is now, of a `precondition_failed`. */
  current: unknown

  constructor({ status, code, detail, errors = [] }: Members, response?: Response, cause?: unknown) {
    super(detail, { cause })
    this.status = status
    this.code = code
    this.errors = errors
    this.requestId = response?.headers.get('x-request-id') ?? null
    this.retryAfter = Number(response?.headers.get('retry-after')) || undefined
  }

  /** What is wrong with the value at a JSON Pointer: `problem.at('/title')`. */
  at(pointer: string): string | undefined {
    return this.errors.find((issue) => issue.pointer === pointer)?.detail
  }
}

const isProblem = (body: Partial<Members> | null): body is Members =>
  typeof body?.code === 'string' && typeof body.detail === 'string'

/** Makes the problem of an error answer, whoever gave it. */
export async function problemOf(response: Response): Promise<Problem> {
  const { status } = response
  const body = (await response.json().catch(() => null)) as Partial<Members> | null
  const unrecognized = { code: 'unrecognized_answer', detail: `The server answered with status ${status}` }
  return new Problem({ ...(isProblem(body) ? body : unrecognized), status }, response)
}

export const signedOut = () => new Problem({ status: 401, code: 'signed_out', detail: 'You are signed out' })

/** Makes the problem of a request without an answer. Its status is 0. */
export const unanswered = (code: string, detail: string, cause: unknown) =>
  new Problem({ status: 0, code, detail }, undefined, cause)
