import fastifyCors from '@fastify/cors'
import fp from 'fastify-plugin'

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']

/** The header fields that a page may read, in addition to those that every browser exposes. */
const EXPOSED = [
  'Allow',
  'ETag',
  'Idempotency-Replayed',
  'Link',
  'Location',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'WWW-Authenticate',
  'X-RateLimit-Limit',
  'X-RateLimit-Remaining',
  'X-RateLimit-Reset',
  'X-Request-Id',
  'X-Total-Count'
]

/** Lets the pages of `CORS_ORIGIN` call the API. The hook runs before authentication: a preflight carries no token. */
export default fp(
  async (app) => {
    const origin = app.config.corsOrigin
    if (origin.length === 0) return
    await app.register(fastifyCors, {
      origin,
      methods: METHODS,
      // Without `allowedHeaders` every requested header is allowed. The origin decides, and pages add tracing headers.
      exposedHeaders: EXPOSED,
      // Two hours, the longest that Chromium accepts.
      maxAge: 7200,
      // OPTIONS without the fields of a preflight is answered as it is without CORS.
      strictPreflight: false,
      preflightContinue: true
    })
    app.addHook('onRequest', (request, reply, done) => {
      if (request.method !== 'OPTIONS') return done()
      const allow = app.allowedMethods(request.url)
      if (allow !== undefined) reply.code(204).header('allow', allow).send()
      // After a failed preflight a page cannot see why. With a 204 it sends the request, and can read the 404.
      else if (request.headers['access-control-request-method'] !== undefined) reply.code(204).send()
      else app.answerNotFound(request, reply)
    })
  },
  { name: 'cors', dependencies: ['problems', 'request-id'] }
)
