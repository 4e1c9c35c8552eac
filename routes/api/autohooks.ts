import type { App } from '../../src/app.ts'

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

  app.addHook('onRoute', (route) => {
    const own = route.onRequest === undefined ? [] : [route.onRequest].flat()
    const authenticate = route.config?.caller === 'optional' ? optional : app.authenticate
    route.onRequest = [authenticate, app.limitUser, ...own]
  })
}
