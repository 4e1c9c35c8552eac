import fp from 'fastify-plugin'

/**
 * Limits requests without a route (404, 405) like other requests: they count against the user of a valid token, or else
 * against the address. OPTIONS requests are not counted, because a preflight carries no token.
 */
export default fp(
  async (app) => {
    for (const hook of [app.authenticateOptional(), app.limitUser]) {
      app.addHook('onRequest', (request, reply, done) => {
        if (request.is404 && request.method !== 'OPTIONS') hook.call(app, request, reply, done)
        else done()
      })
    }
    // Answer before the body arrives. Fastify's not-found handler would run only after the body.
    app.addHook('onRequest', (request, reply, done) => {
      if (request.is404) app.answerNotFound(request, reply)
      else done()
    })
  },
  // The hooks of these plugins must run first, so that their header fields are on the answer.
  { name: 'not-found', dependencies: ['auth', 'cors', 'deadline', 'problems', 'rate-limit', 'request-id'] }
)
