import fastifyCors from '@fastify/cors'
import fp from 'fastify-plugin'

// What a page may send, and what it may read of an answer beyond the fields that the browser always shows.
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']
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

/** Lets the pages of `CORS_ORIGIN` call the API. Its hook runs before authentication: a preflight carries no token. */
export default fp(
  async (app) => {
    const origin = app.config.corsOrigin
    if (origin.length === 0) return
    await app.register(fastifyCors, {
      origin,
      methods: METHODS,
      // No `allowedHeaders`: they are allowed as asked for. The origin is what is judged, and pages add tracing
      // headers.
      exposedHeaders: EXPOSED,
      // Two hours, the most that Chromium honours.
      maxAge: 7200,
      // OPTIONS without the fields of a preflight is a plain request, answered as without CORS.
      strictPreflight: false,
      preflightContinue: true
    })
    app.addHook('onRequest', (request, reply, done) => {
      if (request.method !== 'OPTIONS') return done()
      const allow = app.allowedMethods(request.url)
      if (allow !== undefined) reply.code(204).header('allow', allow).send()
      // A page whose preflight fails learns nothing; this one may ask, and read that there is nothing.
      else if (request.headers['access-control-request-method'] !== undefined) reply.code(204).send()
      else app.answerNotFound(request, reply)
    })
  },
  { name: 'cors', dependencies: ['problems', 'request-id'] }
)
