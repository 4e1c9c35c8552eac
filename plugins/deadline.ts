import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Deadline } from '../src/http/deadline.ts'
import { sendProblem } from '../src/http/problems.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The time in which the request must be answered. Work for the request checks the deadline before it begins. */
    deadline: Deadline
    /** The timer of the deadline. Undefined when the deadline has ended. */
    timer: NodeJS.Timeout | undefined
    /**
     * Ends the deadline: the request is no longer in flight (`REQUESTS_MAX`). A stream calls this when its answer
     * begins.
     */
    release(): void
  }
}

/** A request that takes longer, queueing included, is answered 503. */
export const DEADLINE_MS = 4700

/** Answers 503, unless the service has answered already and the client is still reading. */
function expire(request: FastifyRequest, reply: FastifyReply): void {
  request.deadline.expire()
  if (!request.exchange.answered) sendProblem(reply.header('connection', 'close'), 'unavailable')
}

/**
 * Bounds the time of a request: a longer one is answered 503. The time ends with the answer, or when the client left.
 * The time in which the client reads the answer does not count here (`plugins/connections.ts`).
 *
 * When the time is up, the statement in flight is cancelled too (`src/http/deadline.ts`). Fastify's `handlerTimeout`
 * does not fit: it ends when the body of the request is consumed (Node emits `close`), so it misses a slow POST.
 */
export default fp(
  async (app) => {
    app.decorateRequest('deadline', null as never)
    app.decorateRequest('timer', undefined)
    app.decorateRequest('release', function () {
      if (this.timer === undefined) return
      clearTimeout(this.timer)
      this.timer = undefined
      this.deadline.close()
      this.leaveInFlight()
    })

    app.addHook('onRequest', (request, reply, done) => {
      request.deadline = new Deadline(performance.now() + DEADLINE_MS)
      request.timer = setTimeout(expire, DEADLINE_MS, request, reply)
      done()
    })
    app.addHook('onSend', (request, _reply, _payload, done) => {
      request.release()
      done()
    })
    // Release here too, for a client that left and for an answer that bypassed Fastify (`reply.hijack`).
    app.addHook('onResponse', (request, _reply, done) => {
      request.release()
      done()
    })
  },
  { name: 'deadline', dependencies: ['in-flight'] }
)
