import t from 'tap'
import { build, routesOf } from '../support/app.ts'

const UNKNOWN = '01900000-0000-7000-8000-000000000000'

t.test('every route under /api needs a token, but for the session and preflights', async (t) => {
  const app = await build(t)
  const routes = (routesOf.get(app) ?? []).filter(({ url }) => url.startsWith('/api/'))
  t.ok(routes.length >= 10, `walks ${routes.length} routes`)
  for (const { method, url } of routes) {
    const path = url.replace(':id', UNKNOWN)
    for (const headers of [{}, { 'x-user-id': 'alice', cookie: 'better-auth.session_token=x' }]) {
      const answer = await app.inject({ method: method as 'GET', url: `${path}?access_token=x`, headers })
      t.equal(answer.statusCode, path.startsWith('/api/session') ? 200 : 401, `${method} ${path}`)
    }
    t.equal((await app.inject({ method: 'OPTIONS', url: path })).statusCode, 204, `OPTIONS ${path}`)
  }
})
