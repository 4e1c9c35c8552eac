import fp from 'fastify-plugin'
import { sendProblem } from '../src/errors.ts'

declare module 'fastify' {
  interface FastifyRequest {
    deadline: NodeJS.Timeout | undefined
  }
}

/** Within this every request is answered, queueing included; what takes longer is a 503, whatever it waits for. */
const DEADLINE_MS = 4900

/** After this a connection that is still open while the server closes has nothing to be answered any more. */
const CLOSE_MS = 5500

/**
 * Answers what takes too long. Fastify's own `handlerTimeout` ends with the body of a request (Node emits `close` when it
 * is consumed), so it never sees a slow POST. What the handler does goes on: a 503 to a write does not say that it failed.
 */
export default fp(
  async (app) => {
    app.decorateRequest('deadline', undefined)
    app.addHook('onRequest', (request, reply, done) => {
      request.deadline = setTimeout(() => {
        if (!reply.sent) sendProblem(reply.header('connection', 'close'), 'unavailable')
      }, DEADLINE_MS)
      done()
    })
    app.addHook('onResponse', (request, _reply, done) => {
      clearTimeout(request.deadline)
      done()
    })
    app.addHook('preClose', (done) => {
      // Of connections that never finished a request Node knows no idleness, and would wait for them without end.
      setTimeout(() => app.server.closeAllConnections(), CLOSE_MS).unref()
      done()
    })
  },
  { name: 'deadline' }
)
