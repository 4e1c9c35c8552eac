import fp from 'fastify-plugin'

// A year, without `includeSubDomains`: the service knows nothing about the subdomains (RFC 6797 section 6.1.2).
const HSTS = 'max-age=31536000'

/** Sets the security headers of every answer. `routes/api/autohooks.ts` sets the cache headers under `/api`. */
export default fp(
  async (app) => {
    app.addHook('onRequest', (request, reply, done) => {
      reply.header('x-content-type-options', 'nosniff')
      // Never over plain HTTP (RFC 6797 section 7.2). A trusted proxy terminates TLS and names the protocol.
      if (request.protocol === 'https') reply.header('strict-transport-security', HSTS)
      done()
    })
  },
  { name: 'headers', dependencies: ['connections'] }
)
