import t from 'tap'
import { asUser, build, buildAlone } from '../support/app.ts'

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
  ]) {
    t.ok(String(answer.headers['access-control-expose-headers']).split(', ').includes(name), name)
  }
  const refused = await app.inject({ url: '/api/tasks', headers: { origin: ORIGIN } })
  t.equal(refused.statusCode, 401)
  t.equal(refused.headers['access-control-allow-origin'], ORIGIN, 'errors are readable too')
  for (const origin of ['https://evil.example', `${ORIGIN}.evil.example`, 'null', `${ORIGIN}:8443`]) {
    const foreign = await app.inject({ method: 'OPTIONS', url: '/api/tasks', headers: preflight(origin) })
    t.notOk(foreign.headers['access-control-allow-origin'], origin)
  }
})

t.test('the page of an app or an extension may call the API (issue 16)', async (t) => {
  const origins = ['capacitor://localhost', 'tauri://localhost', 'app://.', 'chrome-extension://abcdefghijklmnop']
  const app = await buildAlone(t, { CORS_ORIGIN: origins.join() })
  const allowed = async (origin: string) => {
    const answer = await app.inject({ method: 'OPTIONS', url: '/api/tasks', headers: preflight(origin) })
    return answer.headers['access-control-allow-origin']
  }
  for (const origin of origins) t.equal(await allowed(origin), origin)
  for (const origin of ['capacitor://evil', 'app://', 'null', 'http://localhost'])
    t.notOk(await allowed(origin), origin)
})

t.test('OPTIONS that is no preflight is answered as ever', async (t) => {
  const app = await buildAlone(t, { CORS_ORIGIN: ORIGIN })
  const plain = await app.inject({ method: 'OPTIONS', url: '/api/tasks' })
  t.equal(plain.statusCode, 204)
  t.equal(plain.headers.allow, 'GET, HEAD, OPTIONS, POST')
  t.equal((await app.inject({ method: 'OPTIONS', url: '/nothing' })).statusCode, 404)
})

t.test('a page may send every request header of the contract, and those of its tracing', async (t) => {
  const app = await build(t, { CORS_ORIGIN: ORIGIN })
  for (const name of [
    'authorization',
    'content-type',
    'if-match',
    'if-none-match',
    'idempotency-key',
    'last-event-id',
    'prefer',
    'traceparent',
    'x-request-id'
  ]) {
    const headers = { ...preflight(ORIGIN), 'access-control-request-headers': name }
    const answer = await app.inject({ method: 'OPTIONS', url: '/api/tasks', headers })
    t.equal(answer.headers['access-control-allow-headers'], name)
  }
})

t.test('a page reads every error, of the router too', async (t) => {
  const app = await build(t, { CORS_ORIGIN: ORIGIN })
  for (const [url, status] of [
    ['/api/nothing', 404],
    ['/api/tasks/%zz', 400],
    [`/api/tasks/${'x'.repeat(101)}`, 414]
  ] as const) {
    const before = await app.inject({ method: 'OPTIONS', url, headers: preflight(ORIGIN) })
    t.equal(before.statusCode, 204, `a preflight to ${status} lets the request through`)
    t.equal(before.headers['access-control-allow-origin'], ORIGIN)
    const answer = await app.inject({ method: 'PATCH', url, headers: { ...asUser('alice'), origin: ORIGIN } })
    t.equal(answer.statusCode, status)
    t.equal(answer.headers['access-control-allow-origin'], ORIGIN)
    t.match(answer.headers['access-control-expose-headers'], 'X-Request-Id')
    t.equal(answer.headers['content-type'], 'application/problem+json; charset=utf-8')
  }
})

t.test('Vary names what an answer depends on, whoever asks', async (t) => {
  const headers = asUser('alice')
  const some = await build(t, { CORS_ORIGIN: ORIGIN })
  for (const more of [{}, { origin: ORIGIN }, { origin: 'https://evil.example' }]) {
    const answer = await some.inject({ url: '/api/tasks', headers: { ...headers, ...more } })
    t.equal(answer.headers.vary, 'Origin, Authorization')
    t.equal((await some.inject({ url: '/openapi.json', headers: more })).headers.vary, 'Origin')
  }
  await some.close()

  const all = await build(t, { CORS_ORIGIN: '*' })
  const answer = await all.inject({ url: '/api/tasks', headers: { ...headers, origin: ORIGIN } })
  t.equal(answer.headers['access-control-allow-origin'], '*')
  t.equal(answer.headers.vary, 'Authorization')
})
