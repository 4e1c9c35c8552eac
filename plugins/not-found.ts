import fp from 'fastify-plugin'

/**
 * Limits requests for what is not there (404, 405) as those for what is: against the user of a valid token, or else the
 * address. A preflight carries no token and is never counted, nor is any other OPTIONS.
 */
export default fp(
  async (app) => {
    for (const hook of [app.authenticateOptional(), app.limitUser]) {
      app.addHook('onRequest', (request, reply, done) => {
        if (request.is404 && request.method !== 'OPTIONS') hook.call(app, request, reply, done)
        else done()
      })
    }
    // Before its body comes: nobody waits for what is thrown away. The handler of Fastify would come after it.
    app.addHook('onRequest', (request, reply, done) => {
      if (request.is404) app.answerNotFound(request, reply)
      else done()
    })
  },
  // Its answers carry the fields of those that come first.
  { name: 'not-found', dependencies: ['auth', 'cors', 'deadline', 'problems', 'rate-limit', 'request-id'] }
)
