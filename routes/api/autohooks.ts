import type { onRequestHookHandler } from 'fastify'
import type { User } from '../../src/auth/user.ts'
import type { App } from '../../src/http/application.ts'
import { sendProblem } from '../../src/http/problems.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `optional` lets anonymous callers in; every other route under `/api` needs a verified one. */
    caller?: 'optional'
  }
}

/**
 * Everything below this folder is for verified callers: a route that is put here is protected without asking for it,
 * and one that is not cannot become so by its URL.
 */
export default async function api(app: App): Promise<void> {
  const optional = app.authenticateOptional()

  // A request that is refused here costs no budget. The client only has to wait for the answers before it.
  const admit: onRequestHookHandler = (request, reply, done) => {
    const user: User | null = request.user
    if (user === null || app.admitExchange(request.exchange, user.sub)) done()
    else sendProblem(reply, 'too_many_in_flight')
  }

  // For the caller's browser, which asks each time whether what it has still holds (RFC 9111 section 5.2.2), and never
  // uses what it got for one token to answer for another, not even when told not to ask (section 4.1).
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
