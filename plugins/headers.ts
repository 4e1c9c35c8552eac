import fp from 'fastify-plugin'

// A year, for this host alone: of its subdomains nothing is known here (RFC 6797 section 6.1.2).
const HSTS = 'max-age=31536000'

/**
 * What a browser is told with every answer. What the answers under `/api` say to caches is in
 * `routes/api/autohooks.ts`.
 */
export default fp(
  async (app) => {
    app.addHook('onRequest', (request, reply, done) => {
      reply.header('x-content-type-options', 'nosniff')
      // Never over plain HTTP (RFC 6797 section 7.2). TLS ends at a proxy, whose word counts when it is a trusted one.
      if (request.protocol === 'https') reply.header('strict-transport-security', HSTS)
      done()
    })
  },
  { name: 'headers', dependencies: ['connections'] }
)
