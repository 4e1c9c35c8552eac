import { Problem, problemOf, unanswered } from './problem.ts'
import { orAborted, wait } from './time.ts'
import type { TokenSource } from './token.ts'

/** Why the client waits before it sends a request again. */
export interface Wait {
  /** How long it waits. */
  seconds: number
  problem: Problem
}

/** The codes that a new token cures. */
const NEW_TOKEN = /^token_(expired|key|signature)$/

/** The codes that `Retry-After` comes with: the same request may succeed later. */
const LATER = /^(rate_limited|(idempotency_key|too_many)_in_flight|(keys_)?unavailable)$/

/** The types of the answers of the service. A login page that a proxy answers has another one. */
const OURS = /json|event-stream/

/** The most times that one request is sent. */
const TRIES = 4

/** A longer `Retry-After` than this many seconds is for the user to wait for. */
const WAIT_MAX_SECONDS = 120

/** The wait after a lost connection, in seconds. It doubles with each try. */
const BACKOFF_SECONDS = 0.5

/** The retries of all requests of a page, and how many one answer that succeeds gives back. */
const BUDGET = 30
const REFUND = 0.2

/** Whether a request does nothing twice when it is sent twice. */
const isRepeatable = ({ method, headers }: Request): boolean =>
  method === 'GET' || method === 'HEAD' || headers.has('idempotency-key') || headers.has('if-match')

/** Waits so long and up to half as long again, so that the tabs of a server that was down do not come at once. */
const jittered = (seconds: number) => seconds * (1 + Math.random() / 2)

/** Sends requests with the user's token, and sends them again where that helps and does nothing twice. */
export class Sender {
  readonly #tokens: TokenSource
  readonly #onWait: (wait: Wait) => void
  #budget = BUDGET

  constructor(tokens: TokenSource, onWait: (wait: Wait) => void) {
    this.#tokens = tokens
    this.#onWait = onWait
  }

  /**
   * Sends a request until it succeeds or cannot. Reads the whole answer, because the connection can break in it.
   *
   * @param tries this is which one
   * @throws {Problem} for an error, after the tries and the budget are used up; the reason of an aborted signal
   */
  async send(request: Request, tries = 1): Promise<Response> {
    try {
      const response = await this.attempt(request)
      const body = await response.arrayBuffer()
      this.#budget = Math.min(BUDGET, this.#budget + REFUND)
      return new Response(body.byteLength > 0 ? body : null, response)
    } catch (error) {
      if (request.signal.aborted) throw request.signal.reason
      const problem =
        error instanceof Problem ? error : unanswered('connection_lost', 'The service cannot be reached', error)
      const seconds = this.#retryAfter(problem, request, tries)
      if (seconds === undefined) throw problem
      this.#budget--
      this.#onWait({ seconds, problem })
      await wait(seconds * 1000, request.signal)
      return this.send(request, tries + 1)
    }
  }

  /** Sends a request once, and once more with a new token where that cures the answer. */
  async attempt(request: Request, renewed = false): Promise<Response> {
    const token = await orAborted(this.#tokens.get(), request.signal)
    const attempt = request.clone()
    attempt.headers.set('authorization', `Bearer ${token.text}`)
    // In Node the signal of a clone may be collected as garbage, and then it ends nothing.
    const response = await fetch(attempt, { signal: request.signal })
    if (response.status === 304 || (response.ok && OURS.test(String(response.headers.get('content-type')))))
      return response
    const problem = await problemOf(response)
    if (renewed || !NEW_TOKEN.test(problem.code)) throw problem
    this.#tokens.refuse(token)
    return this.attempt(request, true)
  }

  /** Seconds until a request is sent again; undefined when it is not. */
  #retryAfter({ code, retryAfter }: Problem, request: Request, tries: number): number | undefined {
    if (tries >= TRIES || this.#budget < 1) return undefined
    if (code === 'connection_lost') {
      return isRepeatable(request) ? jittered(BACKOFF_SECONDS * 2 ** (tries - 1)) : undefined
    }
    if (retryAfter === undefined || retryAfter > WAIT_MAX_SECONDS || !LATER.test(code)) return undefined
    return jittered(retryAfter)
  }
}
