import type { onRequestHookHandler } from 'fastify'
import type { User } from '../../src/auth/user.ts'
import type { App } from '../../src/http/application.ts'
import { sendProblem } from '../../src/http/problems.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `optional` admits anonymous callers. Every other route under `/api` needs a verified caller. */
    caller?: 'optional'
  }
}

/**
 * Protects every route in this folder: only verified callers are admitted. A new route here is protected without asking
 * for it. A route elsewhere is not protected, whatever its URL is.
 */
export default async function api(app: App): Promise<void> {
  const optional = app.authenticateOptional()

  // A request that is refused here does not count against the user's limit: the client only has to wait for the answers
  // before it.
  const admit: onRequestHookHandler = (request, reply, done) => {
    const user: User | null = request.user
    if (user === null || app.admitExchange(request.exchange, user.sub)) done()
    else sendProblem(reply, 'too_many_in_flight')
  }

  // Only the caller's browser may store an answer, and it must revalidate it for each use (RFC 9111 section 5.2.2).
  // With `Vary`, it never uses an answer for one token to serve another, even where it need not revalidate (section
  // 4.1).
  app.addHook('onRequest', (_request, reply, done) => {
    const vary = reply.getHeader('vary')
    reply.header('cache-control', 'private, no-cache')
    reply.header('vary', vary === undefined ? 'Authorization' : `${vary}, Authorization`)
    done()
  })

  app.addHook('onRoute', (route) => {
    const own = route.onRequest === undefined ? [] : [route.onRequest].flat()
    const authenticate = route.config?.caller === 'optional' ? optional : app.authenticate
    route.onRequest = [authenticate, admit, app.limitUser, ...own]
  })
}
