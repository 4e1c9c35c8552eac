import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { sendProblem } from '../src/http/problems.ts'
import { InFlight } from '../src/limits/in-flight.ts'
import { addMetrics } from '../src/telemetry/metrics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether requests have been refused for seconds because too many are in flight (`REQUESTS_MAX`). */
    isOverloaded(): boolean
  }
  interface FastifyRequest {
    /** Whether the request counts as in flight. */
    isInFlight: boolean
    /** The request no longer counts as in flight. Does nothing when it does not count. */
    leaveInFlight(): void
  }
}

/** Health checks do not count as in flight and are always answered. Concurrent ones share one database check. */
const isHealth = ({ routeOptions: { url } }: FastifyRequest) => url?.startsWith('/health/') === true

/**
 * Bounds the number of requests in flight (`REQUESTS_MAX`). One more is answered 503 before any work is done for it. A
 * request is in flight until its deadline ends (`plugins/deadline.ts`): it is answered, or its client left.
 */
export default fp(
  async (app) => {
    const inFlight = new InFlight(app.config.requestsMax)
    app.decorate('isOverloaded', () => inFlight.overloaded)
    app.decorateRequest('isInFlight', false)
    app.decorateRequest('leaveInFlight', function () {
      if (this.isInFlight) inFlight.leave()
      this.isInFlight = false
    })

    app.addHook('onRequest', (request, reply, done) => {
      if (isHealth(request)) return done()
      // A full instance stays ready unless it is full for seconds (`isOverloaded`).
      if (!inFlight.hasRoom) {
        inFlight.refuse()
        sendProblem(reply, 'unavailable')
        return
      }
      inFlight.enter()
      request.isInFlight = true
      done()
    })

    addMetrics(app, {
      name: 'requests_in_flight',
      help: 'Requests in flight, without health checks',
      kind: 'gauge',
      read: () => inFlight.count
    })
  },
  { name: 'in-flight', dependencies: ['connections', 'headers', 'request-id'] }
)
