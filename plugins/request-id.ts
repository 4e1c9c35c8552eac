import fp from 'fastify-plugin'

/** Sends the id that is also in the log line. It is in a header, so that equal answers have equal bodies. */
export default fp(
  async (app) => {
    app.addHook('onRequest', (request, reply, done) => {
      reply.header('x-request-id', request.id)
      done()
    })
  },
  { name: 'request-id', dependencies: ['connections'] }
)
