import type { FastifyRequest } from 'fastify'
import { bearerToken } from './bearer.ts'
import type { Conclusion, TokenChecker } from './checker.ts'
import type { Verifier } from './verifier.ts'

/** Finds the user that a request's token identifies. Cheap checks come first. */
export class Authenticator {
  readonly #verifier: Verifier
  readonly #checker: TokenChecker
  readonly #addressOf: (request: FastifyRequest) => string

  /** @param addressOf returns the address that a failed check counts against */
  constructor(verifier: Verifier, checker: TokenChecker, addressOf: (request: FastifyRequest) => string) {
    this.#verifier = verifier
    this.#checker = checker
    this.#addressOf = addressOf
  }

  /**
   * Takes callbacks instead of returning a promise, so that a cached token does not cost a turn of the event loop.
   *
   * @param fail receives unexpected errors
   */
  authenticate(
    request: FastifyRequest,
    conclude: (conclusion: Conclusion) => void,
    fail: (error: Error) => void
  ): void {
    const conclusion = this.#check(request)
    if (conclusion instanceof Promise) conclusion.then(conclude, fail)
    else conclude(conclusion)
  }

  #check(request: FastifyRequest): Conclusion | Promise<Conclusion> {
    const bearer = bearerToken(request.raw)
    if ('problem' in bearer) return bearer.problem
    const verdict = this.#verifier.known(bearer.token)
    if (verdict !== undefined) return verdict
    const candidate = this.#verifier.examine(bearer.token)
    if (typeof candidate === 'string') return candidate
    return this.#checker.check(candidate, this.#addressOf(request))
  }
}
