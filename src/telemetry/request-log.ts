import { createHmac, randomBytes } from 'node:crypto'
import { type FastifyReply, type FastifyRequest, LogController } from 'fastify'
import type { User } from '../auth/user.ts'

/** Logs one line for each request, when it ends. It never logs a URL, a header or a body, which may hold secrets. */
export class RequestLog extends LogController {
  readonly #secret: string | Buffer
  // Requests with one token share their user, so each token is hashed once.
  readonly #names = new WeakMap<User, string>()

  /**
   * @param secret the key of the hash that stands for a user. Without it nobody can find out a user by trying names. By
   * default it is random
   */
  constructor(level: string, secret: string | Buffer = randomBytes(32)) {
    // Decided once, so that no line is built that the level would suppress.
    super({ disableRequestLogging: !['trace', 'debug', 'info'].includes(level) })
    this.#secret = secret
  }

  override incomingRequest(): void {}

  override requestCompleted(_error: Error | null | undefined, request: FastifyRequest, reply: FastifyReply): void {
    if (this.isLogDisabled(request)) return
    const { method, routeOptions } = request
    // It is null for an anonymous caller, and undefined in an application without authentication.
    const caller: User | null | undefined = request.user
    const user = caller ? this.#nameOf(caller) : null
    const ms = Math.round(reply.elapsedTime * 100) / 100
    const { aborted, answered, connection } = request.exchange
    const line = { method, route: routeOptions.url ?? null, status: answered ? reply.statusCode : null, ms, user }
    if (aborted) request.log.info({ ...line, reason: connection.closing }, 'aborted')
    else request.log.info(line, 'answered')
  }

  // Most streams end because their client left. The line of the request records that already.
  override streamError(error: Error & { code?: string }, request: FastifyRequest, reply: FastifyReply): void {
    if (error.code !== 'ERR_STREAM_PREMATURE_CLOSE') super.streamError(error, request, reply)
  }

  #nameOf(user: User): string {
    const known = this.#names.get(user)
    if (known !== undefined) return known
    const name = createHmac('sha256', this.#secret).update(user.sub).digest('base64url').slice(0, 16)
    this.#names.set(user, name)
    return name
  }
}
