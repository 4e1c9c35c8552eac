import type { IncomingMessage, ServerResponse } from 'node:http'
import fp from 'fastify-plugin'
import { isHostValid } from '../src/http/host.ts'
import { sendProblem } from '../src/http/problems.ts'

/**
 * Refuses a request with a wrong `Host` (400) or an `Expect` that cannot be met (417). Node would answer both itself,
 * without a problem document.
 */
export default fp(
  async (app) => {
    app.addHook('onRequest', (request, reply, done) => {
      if (app.routerErrors.get(request.raw) === 'expectation_failed') {
        // The client sends the body only after `100 Continue`, so close the connection instead of waiting for the body.
        sendProblem(reply.header('connection', 'close'), 'expectation_failed')
      } else if (isHostValid(request.raw)) done()
      else sendProblem(reply, 'bad_request')
    })
    // Node emits this event instead of `request`, so such a request would not reach the router.
    app.server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
      app.routerErrors.set(request, 'expectation_failed')
      app.routing(request, response)
    })
  },
  { name: 'request-checks', dependencies: ['problems'] }
)
