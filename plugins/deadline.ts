import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Deadline } from '../src/http/deadline.ts'
import { sendProblem } from '../src/http/problems.ts'
import { InFlight } from '../src/limits/in-flight.ts'
import { addMetrics } from '../src/telemetry/metrics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether requests have been refused for seconds because too many are in flight (`REQUESTS_MAX`). */
    isOverloaded(): boolean
  }
  interface FastifyRequest {
    /** The time in which the request must be answered. What is done for it asks the deadline first. */
    deadline: Deadline
    /** The timer of the deadline while the request is in flight. */
    timer: NodeJS.Timeout | undefined
    /** For a stream whose answer has begun: it has no deadline, and is no longer in flight (`REQUESTS_MAX`). */
    release(): void
  }
}

/** Within this every request is answered, queueing included; what takes longer is a 503, whatever it waits for. */
export const DEADLINE_MS = 4700

/** Health is always answered, asks the database once for all who ask, and takes no place from others. */
const isHealth = ({ routeOptions: { url } }: FastifyRequest) => url?.startsWith('/health/') === true

/** Answers 503, unless the answer was given: the client may still be reading it. */
function expire(request: FastifyRequest, reply: FastifyReply): void {
  request.deadline.expire()
  if (!request.exchange.answered) sendProblem(reply.header('connection', 'close'), 'unavailable')
}

/**
 * Bounds how long a request takes and how many are in flight; what is over either is a 503. A request is in flight
 * until it is answered or its client left. How long the client takes to read the answer does not count here
 * (plugins/connections.ts).
 *
 * Fastify's own `handlerTimeout` ends with the body of a request (Node emits `close` when it is consumed), so it never
 * sees a slow POST. What the request asked of the database is stopped with it (src/http/deadline.ts).
 */
export default fp(
  async (app) => {
    const inFlight = new InFlight(app.config.requestsMax)

    app.decorate('isOverloaded', () => inFlight.overloaded)
    app.decorateRequest('deadline', null as never)
    app.decorateRequest('timer', undefined)
    app.decorateRequest('release', function () {
      if (this.timer === undefined) return
      clearTimeout(this.timer)
      this.timer = undefined
      this.deadline.close()
      if (!isHealth(this)) inFlight.leave()
    })

    app.addHook('onRequest', (request, reply, done) => {
      // Before any work is done for it. An instance that is full is alive, and ready again in a moment.
      if (!isHealth(request)) {
        if (!inFlight.hasRoom) {
          inFlight.refuse()
          sendProblem(reply, 'unavailable')
          return
        }
        inFlight.enter()
      }
      request.deadline = new Deadline(performance.now() + DEADLINE_MS)
      request.timer = setTimeout(expire, DEADLINE_MS, request, reply)
      done()
    })
    app.addHook('onSend', (request, _reply, _payload, done) => {
      request.release()
      done()
    })
    // For a client that left, and for an answer that was taken out of Fastify's hands.
    app.addHook('onResponse', (request, _reply, done) => {
      request.release()
      done()
    })

    addMetrics(app, {
      name: 'requests_in_flight',
      help: 'Requests that are not answered yet, but for those for the health of the instance',
      kind: 'gauge',
      read: () => inFlight.count
    })
  },
  { name: 'deadline', dependencies: ['connections', 'headers', 'request-id'] }
)
