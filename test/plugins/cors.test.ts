import t from 'tap'
import { asUser, buildAlone } from '../helper.ts'

const ORIGIN = 'https://app.example.com'
const preflight = (origin: string, method = 'PATCH') => ({
  origin,
  'access-control-request-method': method,
  'access-control-request-headers': 'authorization,content-type,if-match'
})

t.test('by default no other origin may call', async (t) => {
  const app = await buildAlone(t)
  for (const method of ['GET', 'OPTIONS'] as const) {
    const answer = await app.inject({ method, url: '/api/tasks', headers: preflight(ORIGIN) })
    t.notOk(answer.headers['access-control-allow-origin'])
  }
})

t.test('the origins of CORS_ORIGIN may', async (t) => {
  const app = await buildAlone(t, { CORS_ORIGIN: `${ORIGIN}, http://localhost:5173` })
  for (const origin of [ORIGIN, 'http://localhost:5173']) {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']) {
      const answer = await app.inject({ method: 'OPTIONS', url: '/api/tasks', headers: preflight(origin, method) })
      t.equal(answer.statusCode, 204, 'without a token')
      t.equal(answer.headers['access-control-allow-origin'], origin)
      t.match(answer.headers['access-control-allow-methods'], method)
      t.equal(answer.headers['access-control-allow-headers'], 'authorization,content-type,if-match')
      t.notOk(answer.headers['x-ratelimit-limit'], 'nor a budget')
    }
  }
  const answer = await app.inject({ url: '/api/session', headers: { ...asUser('alice'), origin: ORIGIN } })
  t.equal(answer.statusCode, 200)
  t.equal(answer.headers['access-control-allow-origin'], ORIGIN)
  t.match(answer.headers.vary, /Origin/i)
  for (const name of [
    'ETag',
    'Link',
    'Location',
    'Retry-After',
    'X-Request-Id',
    'WWW-Authenticate',
    'X-RateLimit-Remaining'
  ]) {
    t.match(answer.headers['access-control-expose-headers'], name)
  }
  const refused = await app.inject({ url: '/api/tasks', headers: { origin: ORIGIN } })
  t.equal(refused.statusCode, 401)
  t.equal(refused.headers['access-control-allow-origin'], ORIGIN, 'errors are readable too')
  for (const origin of ['https://evil.example', `${ORIGIN}.evil.example`, 'null', `${ORIGIN}:8443`]) {
    const foreign = await app.inject({ method: 'OPTIONS', url: '/api/tasks', headers: preflight(origin) })
    t.notOk(foreign.headers['access-control-allow-origin'], origin)
  }
})

t.test('OPTIONS that is no preflight is answered as ever', async (t) => {
  const app = await buildAlone(t, { CORS_ORIGIN: ORIGIN })
  const plain = await app.inject({ method: 'OPTIONS', url: '/api/tasks' })
  t.equal(plain.statusCode, 204)
  t.equal(plain.headers.allow, 'GET, HEAD, OPTIONS, POST')
  t.equal((await app.inject({ method: 'OPTIONS', url: '/nothing' })).statusCode, 404)
})
