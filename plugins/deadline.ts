import fp from 'fastify-plugin'
import { sendProblem } from '../src/errors.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether the instance is about to close: it still serves, and wants no more. */
    isDraining(): boolean
  }
  interface FastifyRequest {
    deadline: NodeJS.Timeout | undefined
    /** For a stream whose answer has begun: it has no deadline, and is none of the requests in hand (`REQUESTS_MAX`). */
    release(): void
  }
}

/** Within this every request is answered, queueing included; what takes longer is a 503, whatever it waits for. */
const DEADLINE_MS = 4700

/** After this a connection that is still open while the server closes has nothing to be answered any more. */
const CLOSE_MS = 5200

/**
 * Bounds how long a request takes and how many are in hand; what is over either is a 503. And on closing, gives whoever sends
 * requests here the time to see it.
 *
 * Fastify's own `handlerTimeout` ends with the body of a request (Node emits `close` when it is consumed), so it never sees
 * a slow POST. What the handler does goes on: a 503 to a write does not say that it failed.
 */
export default fp(
  async (app) => {
    const { requestsMax, shutdownDelayMs } = app.config
    let inHand = 0

    app.decorateRequest('deadline', undefined)
    app.decorateRequest('release', function () {
      if (this.deadline === undefined) return
      clearTimeout(this.deadline)
      this.deadline = undefined
      inHand--
    })
    app.addHook('onRequest', (request, reply, done) => {
      // Before any work is done for it. An instance with its hands full is alive, and ready again in a moment.
      if (inHand >= requestsMax && !request.routeOptions.url?.startsWith('/health/')) {
        sendProblem(reply, 'unavailable')
        return
      }
      inHand++
      request.deadline = setTimeout(() => {
        if (!reply.sent) sendProblem(reply.header('connection', 'close'), 'unavailable')
      }, DEADLINE_MS)
      done()
    })
    app.addHook('onResponse', (request, _reply, done) => {
      request.release()
      done()
    })

    let draining = false
    app.decorate('isDraining', () => draining)
    // Fastify asks each client to close its connection from now on; new ones are accepted until this is over.
    app.addHook('preClose', async () => {
      draining = true
      await new Promise((resolve) => setTimeout(resolve, shutdownDelayMs))
      // Of connections that never finished a request Node knows no idleness, and would wait for them without end.
      setTimeout(() => app.server.closeAllConnections(), CLOSE_MS).unref()
    })
  },
  { name: 'deadline', dependencies: ['headers', 'request-id'] }
)
