import t from 'tap'
import { asUser, build, newUser } from '../support/app.ts'
import { listen, send } from '../support/http.ts'

const EVERYWHERE = [
  '/',
  '/docs',
  '/docs/static/swagger-ui.css',
  '/openapi.json',
  '/health/live',
  '/health/ready',
  '/api/tasks',
  '/api/session',
  '/api/nothing',
  '/nothing',
  '/%zz',
  `/api/tasks/${'x'.repeat(101)}`
]

t.test('nosniff is on every answer', async (t) => {
  const app = await build(t)
  for (const url of EVERYWHERE) {
    t.equal((await app.inject(url)).headers['x-content-type-options'], 'nosniff', url)
  }
  const answer = await send(await listen(app), 'NONSENSE\r\n\r\n')
  t.match(answer.text, /^X-Content-Type-Options: nosniff\r$/m)
})

t.test('Strict-Transport-Security is sent over https and never over http (RFC 6797 section 7.2)', async (t) => {
  const hsts = async (app: Awaited<ReturnType<typeof build>>, url: string, proto?: string) => {
    const headers = proto === undefined ? {} : { 'x-forwarded-proto': proto }
    return (await app.inject({ url, headers })).headers['strict-transport-security']
  }
  const trusting = await build(t, { TRUST_PROXY: '127.0.0.1' })
  for (const url of EVERYWHERE) {
    t.equal(await hsts(trusting, url, 'https'), 'max-age=31536000', url)
    t.equal(await hsts(trusting, url, 'http'), undefined, url)
    t.equal(await hsts(trusting, url), undefined, url)
  }
  await trusting.close()
  for (const env of [{}, { TRUST_PROXY: '10.0.0.0/8' }]) {
    const app = await build(t, env)
    t.equal(await hsts(app, '/api/tasks', 'https'), undefined, 'the word of anybody')
    await app.close()
  }
})

t.test('answers under /api are for the browser of their caller, and asked for each time', async (t) => {
  const app = await build(t)
  const headers = asUser(newUser())
  const created = await app.inject({ method: 'POST', url: '/api/tasks', headers, payload: { title: 'x' } })
  const url = String(created.headers.location)
  for (const options of [
    { url: '/api/tasks' },
    { url: '/api/tasks/' },
    { url },
    { method: 'HEAD', url },
    { method: 'PATCH', url, payload: { completed: true } },
    { url: '/api/session' },
    { url: '/api/session', headers: {} }
  ] as const) {
    const answer = await app.inject({ headers, ...options })
    t.equal(answer.statusCode, 200)
    t.equal(answer.headers['cache-control'], 'private, no-cache', options.url)
    t.equal(answer.headers.vary, 'Authorization', options.url)
  }
})

t.test('errors are not stored', async (t) => {
  const app = await build(t)
  const headers = asUser(newUser())
  for (const [status, options] of [
    [401, { url: '/api/tasks', headers: {} }],
    [400, { url: '/api/tasks?limit=0' }],
    [403, { url: '/api/tasks', headers: asUser('x', { scope: 'other' }) }],
    [404, { url: '/api/tasks/x' }],
    [404, { url: '/api/nothing' }],
    [404, { url: '/nothing' }],
    [405, { method: 'DELETE', url: '/api/tasks' }],
    [414, { url: `/api/tasks/${'x'.repeat(101)}` }]
  ] as const) {
    const answer = await app.inject({ headers, ...options })
    t.equal(answer.statusCode, status)
    t.equal(answer.headers['cache-control'], 'no-store', String(status))
  }
})

t.test('what is public says how long it holds', async (t) => {
  const app = await build(t, { BETTER_AUTH_URL: 'http://127.0.0.1:1' })
  for (const [url, value] of [
    ['/openapi.json', 'no-cache'],
    ['/docs', 'no-cache'],
    ['/docs/static/swagger-initializer.js', 'no-cache'],
    ['/docs/static/swagger-ui.css', 'public, max-age=0'],
    ['/health/live', 'no-store'],
    ['/health/ready', 'no-store'],
    ['/.well-known/oauth-protected-resource', 'no-store']
  ] as const) {
    const { headers } = await app.inject(url)
    t.equal(headers['cache-control'], value, url)
    t.equal(headers.vary, undefined, url)
  }
})
