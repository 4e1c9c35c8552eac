import { type FastifyReply, type FastifyRequest, LogController } from 'fastify'

/** One line a request, when it is answered. Never a URL, a header or a body, which may hold secrets. */
export class RequestLog extends LogController {
  constructor(level: string) {
    // Decided once, so that a line that nobody would see is not even put together.
    super({ disableRequestLogging: !['trace', 'debug', 'info'].includes(level) })
  }

  override incomingRequest(): void {}

  override requestCompleted(_error: Error | null | undefined, request: FastifyRequest, reply: FastifyReply): void {
    if (this.isLogDisabled(request)) return
    const { method, routeOptions } = request
    const ms = Math.round(reply.elapsedTime * 100) / 100
    request.log.info({ method, route: routeOptions.url ?? null, status: reply.statusCode, ms }, 'answered')
  }
}
