import fp from 'fastify-plugin'

/** Answers the request's id, which the log line carries too. In a header, so that equal answers have equal bodies. */
export default fp(
  async (app) => {
    app.addHook('onRequest', (request, reply, done) => {
      reply.header('x-request-id', request.id)
      done()
    })
  },
  { name: 'request-id', dependencies: ['connections'] }
)
