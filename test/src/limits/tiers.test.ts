import type { FastifyInstance, InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { asUser, build, buildAlone, claimsOf, metric, newUser, sign, tokenFor } from '../../support/app.ts'
import { listen, requestText, send } from '../../support/http.ts'
import { stopClock } from '../../support/timers.ts'

const WINDOW_MS = 60_000

/** How many of the answers have each status. */
async function tally(answers: Promise<{ statusCode: number }>[]): Promise<Record<number, number>> {
  const counts: Record<number, number> = {}
  for (const { statusCode } of await Promise.all(answers)) counts[statusCode] = (counts[statusCode] ?? 0) + 1
  return counts
}

const times = <T>(count: number, make: (index: number) => T) => Array.from({ length: count }, (_, index) => make(index))

/** Asks `count` times in one tick. */
const flood = (app: FastifyInstance, count: number, make: (index: number) => InjectOptions) =>
  tally(times(count, (index) => app.inject(make(index))))

const forged = (index = 0) => ({
  authorization: `Bearer ${sign({ alg: 'HS256' }, claimsOf('mallory', { jti: index }), 'not the secret of anybody here')}`
})

/** The application, and how many signatures it has checked. */
async function withChecks(t: Test, env: Record<string, string>) {
  const app = await buildAlone(t, env)
  return { app, checks: () => (metric(app, 'tokens_total') as { checked: number }).checked }
}

t.test('an address has a budget for requests without a valid token, of any kind', async (t) => {
  stopClock(t)
  for (const [kind, status, make] of [
    ['no token', 401, () => ({ url: '/api/tasks' })],
    ['an empty header', 401, () => ({ url: '/api/tasks', headers: { authorization: '' } })],
    ['another scheme', 401, () => ({ url: '/api/tasks', headers: { authorization: 'Basic YTpi' } })],
    ['no token at all', 401, (i: number) => ({ url: '/api/tasks', headers: { authorization: `Bearer x${i}` } })],
    [
      'an algorithm that is not accepted',
      401,
      () => ({ url: '/api/tasks', headers: { authorization: `Bearer ${sign({ alg: 'none' }, claimsOf('alice'))}` } })
    ],
    ['forged tokens', 401, (i: number) => ({ url: '/api/tasks', headers: forged(i) })],
    ['expired tokens', 401, (i: number) => ({ url: '/api/tasks', headers: asUser('alice', { exp: i + 1 }) })],
    ['unknown paths', 404, (i: number) => ({ url: `/${i}` })],
    ['unknown paths and bodies', 404, (i: number) => ({ method: 'POST', url: `/${i}`, payload: '{' })],
    ['unknown paths under /api', 404, (i: number) => ({ url: `/api/${i}`, headers: forged(i) })],
    ['unknown methods', 405, () => ({ method: 'DELETE', url: '/api/session' })],
    ['anonymous calls', 200, () => ({ url: '/api/session' })],
    ['anonymous calls with forged tokens', 200, (i: number) => ({ url: '/api/session', headers: forged(i) })]
  ] as [string, number, (index: number) => InjectOptions][]) {
    const app = await buildAlone(t, { RATE_LIMIT_ANONYMOUS_MAX: '7' })
    t.strictSame(await flood(app, 30, make), { [status]: 7, 429: 23 }, kind)
    t.strictSame(await flood(app, 3, () => ({ url: '/api/tasks' })), { 429: 3 }, `${kind}: one budget for all kinds`)
    const other = await app.inject({ ...make(99), remoteAddress: '198.51.100.7' })
    t.equal(other.statusCode, status, `${kind}: another address has its own`)
  }
})

/** Failing checks of an address until it has used up what there is for them. */
function useUpChecks(app: FastifyInstance, address = '127.0.0.1') {
  while (app.limits.verification.tryAcquire(address)) app.limits.verification.charge(address, 5)
}

t.test('past the budget signatures are checked only as long as there is time for them', async (t) => {
  const pass = stopClock(t)
  const { app, checks } = await withChecks(t, { RATE_LIMIT_ANONYMOUS_MAX: '10' })
  let jti = 0
  const forgeries = (count: number, url = '/api/tasks') => flood(app, count, () => ({ url, headers: forged(jti++) }))
  t.strictSame(await forgeries(100), { 401: 10, 429: 90 })
  t.equal(checks(), 100, 'there is time, though all came in one tick')
  pass(1000)
  useUpChecks(app)
  t.strictSame(await forgeries(100), { 429: 100 })
  t.equal(checks(), 100)
  for (const url of ['/nowhere', '/api/session']) {
    // 2 ms for checks, which are 32 at least.
    pass(10)
    await forgeries(100, url)
  }
  t.equal(checks(), 100 + 2 * 32)
  const elsewhere = { url: '/api/tasks', remoteAddress: '192.0.2.1' }
  useUpChecks(app, elsewhere.remoteAddress)
  await flood(app, 100, () => ({ ...elsewhere, headers: forged(jti++) }))
  t.equal(checks(), 164, 'a budget that was used up without forged tokens is used up for them, too')
})

t.test('one bad neighbour locks no signed-in user out', async (t) => {
  const pass = stopClock(t)
  const { app, checks } = await withChecks(t, { RATE_LIMIT_ANONYMOUS_MAX: '10' })
  const [alice, bob, carol] = [asUser(newUser()), asUser(newUser()), asUser(newUser())]
  t.equal((await app.inject({ url: '/api/session', headers: alice })).statusCode, 200)
  await flood(app, 50, () => ({ url: '/api/tasks' }))
  t.equal((await app.inject({ url: '/api/tasks' })).statusCode, 429)
  t.strictSame(
    await flood(app, 50, () => ({ url: '/api/session', headers: alice })),
    { 200: 50 },
    'a known token passes'
  )
  t.equal(checks(), 1)
  t.equal((await app.inject({ url: '/api/session', headers: bob })).statusCode, 200, 'a new token is verified')
  t.equal((await app.inject({ url: '/api/session', headers: bob })).statusCode, 200, 'and known from then on')
  t.equal(checks(), 2)

  useUpChecks(app)
  const late = await app.inject({ url: '/api/session', headers: carol })
  t.equal(late.statusCode, 429, 'unless there is no time for checks left')
  t.match(late.headers, {
    'retry-after': '1',
    ratelimit: '"signatures";r=0;t=1',
    'ratelimit-policy': '"signatures";q=3200;w=1'
  })
  t.equal((await app.inject({ url: '/api/session', headers: bob })).statusCode, 200)
  pass(1000)
  t.equal((await app.inject({ url: '/api/session', headers: carol })).statusCode, 200)
})

t.test('valid tokens use nothing up, new ones in one tick neither', async (t) => {
  stopClock(t)
  const app = await buildAlone(t, { RATE_LIMIT_ANONYMOUS_MAX: '3' })
  const user = newUser()
  const one = (jti: number) => ({ url: '/api/session', headers: asUser(user, { jti }) })
  t.strictSame(await flood(app, 40, one), { 200: 40 })
  t.strictSame(await flood(app, 40, () => ({ url: '/nowhere', headers: asUser(user) })), { 404: 40 })
  t.strictSame(await flood(app, 9, () => ({ url: '/api/tasks' })), { 401: 3, 429: 6 })
})

t.test('a user has one budget, for all addresses, tokens and routes', async (t) => {
  stopClock(t)
  const app = await buildAlone(t, { RATE_LIMIT_MAX: '20' })
  const [alice, bob] = [newUser(), newUser()]
  const urls = ['/api/session', '/nowhere', '/api/session/', '/api/none']
  const from = (user: string) => (i: number) => ({
    url: urls[i % 4] ?? '',
    headers: asUser(user, { jti: i }),
    remoteAddress: `203.0.113.${i}`
  })
  t.strictSame(await flood(app, 50, from(alice)), { 200: 10, 404: 10, 429: 30 })
  t.strictSame(await flood(app, 50, from(bob)), { 200: 10, 404: 10, 429: 30 }, 'another user has their own')
  const many = (i: number) => ({ url: '/api/session', headers: asUser(`${alice}-${i % 10}`) })
  t.strictSame(await flood(app, 250, many), { 200: 200, 429: 50 }, 'of one address, too')
})

t.test('a budget is whole again when its window is over', async (t) => {
  const pass = stopClock(t)
  const app = await buildAlone(t, { RATE_LIMIT_MAX: '4', RATE_LIMIT_ANONYMOUS_MAX: '6', RATE_LIMIT_WINDOW: '1 minute' })
  const headers = asUser(newUser())
  const both = async () => [
    await flood(app, 10, () => ({ url: '/api/session', headers })),
    await flood(app, 10, (i) => ({ url: '/api/tasks', headers: i % 2 ? forged(i) : {} }))
  ]
  t.strictSame(await both(), [
    { 200: 4, 429: 6 },
    { 401: 6, 429: 4 }
  ])
  pass(WINDOW_MS - 1)
  t.strictSame(await both(), [{ 429: 10 }, { 429: 10 }])
  pass(1)
  t.strictSame(await both(), [
    { 200: 4, 429: 6 },
    { 401: 6, 429: 4 }
  ])
})

t.test('IPv6 counts by /64, and an IPv4-mapped address as IPv4', async (t) => {
  stopClock(t)
  const app = await buildAlone(t, { RATE_LIMIT_ANONYMOUS_MAX: '5' })
  const from = (remoteAddress: string) => ({ url: '/api/tasks', remoteAddress })
  // The part behind the network is spread over its first bits and its last.
  const network = (i: number) => from(`2001:db8:0:${i % 2}:${(i * 1311).toString(16)}::${i.toString(16)}`)
  t.strictSame(await flood(app, 50, network), { 401: 10, 429: 40 }, 'two networks')
  t.strictSame(await flood(app, 50, (i) => from(`2001:DB8:1:${i.toString(16)}::1`)), { 401: 50 }, 'fifty networks')
  const mapped = ['192.0.2.1', '::ffff:192.0.2.1', '::FFFF:C000:0201']
  t.strictSame(await flood(app, 30, (i) => from(mapped[i % 3] ?? '')), { 401: 5, 429: 25 })
})

t.test('a forwarded address counts only as far as proxies are trusted', async (t) => {
  stopClock(t)
  const spoof = (forwarded: (i: number) => string, remoteAddress: string) => (i: number) => ({
    url: '/api/tasks',
    remoteAddress,
    headers: { 'x-forwarded-for': forwarded(i), 'x-real-ip': `10.9.9.${i}`, forwarded: `for=10.9.9.${i}` }
  })
  const limited = { 401: 5, 429: 25 }
  const nobody = await buildAlone(t, { RATE_LIMIT_ANONYMOUS_MAX: '5' })
  t.strictSame(
    await flood(
      nobody,
      30,
      spoof((i) => `192.0.2.${i}`, '127.0.0.1')
    ),
    limited,
    'nobody is trusted'
  )

  const proxied = await buildAlone(t, { RATE_LIMIT_ANONYMOUS_MAX: '5', TRUST_PROXY: '10.0.0.0/8, loopback' })
  const client = (i: number) => `192.0.2.${i}, 198.51.100.1, 10.0.0.${i}`
  t.strictSame(await flood(proxied, 30, spoof(client, '127.0.0.1')), limited, 'the rightmost that is not trusted')
  const clients = (i: number) => `192.0.2.1, 198.51.101.${i}`
  t.strictSame(await flood(proxied, 30, spoof(clients, '10.1.2.3')), { 401: 30 }, 'each client has a budget')
  t.strictSame(
    await flood(
      proxied,
      30,
      spoof((i) => `192.0.2.${i}`, '203.0.113.9')
    ),
    limited,
    'not from elsewhere'
  )
  const names = (i: number) => `client-${i}`
  t.strictSame(await flood(proxied, 30, spoof(names, '10.1.2.4')), limited, 'what is no address is no budget')
})

t.test('clients whose proxy adds their port have a budget each, and one whatever the port (issue 16)', async (t) => {
  stopClock(t)
  const app = await buildAlone(t, { RATE_LIMIT_ANONYMOUS_MAX: '5', TRUST_PROXY: '10.0.0.0/8, fd00::/8' })
  const forwarded = (element: (i: number) => string) => (i: number) => ({
    url: '/api/tasks',
    remoteAddress: '10.0.0.1',
    headers: { 'x-forwarded-for': element(i) }
  })
  const of = (element: (i: number) => string) => flood(app, 30, forwarded(element))
  const limited = { 401: 5, 429: 25 }
  t.strictSame(await of((i) => `192.0.2.${i}:51312`), { 401: 30 }, 'a client each')
  t.strictSame(await of((i) => `203.0.113.7:${51_000 + i}`), limited, 'one client')
  t.strictSame(await of((i) => `[2001:db8:0:${i}::1]:51312`), { 401: 30 }, 'a client each, of IPv6')
  t.strictSame(await of((i) => `[2001:db8:1::1]:${51_000 + i}`), limited, 'one client, of IPv6')
  t.strictSame(await of((i) => `198.51.100.${i}:51312, 10.0.0.2:443, [fd00::1]:443`), { 401: 30 }, 'behind several')
  const forged = (i: number) => `198.51.100.${i}:51312, 203.0.113.8:443, 10.0.0.2:443`
  t.strictSame(await of(forged), limited, 'the rightmost that is not trusted')
})

t.test('pipelined requests are counted one by one', async (t) => {
  stopClock(t)
  const app = await buildAlone(t, { RATE_LIMIT_MAX: '8', RATE_LIMIT_ANONYMOUS_MAX: '6' })
  const port = await listen(app)
  const user = newUser()
  const last = requestText('GET', '/health/live', { Connection: 'close' })
  const pipeline = async (headers: (i: number) => Record<string, string>) => {
    const requests = times(20, (i) => requestText('GET', '/api/session', headers(i)))
    const answers = await send(port, requests.join('') + last)
    return tally([...answers.text.matchAll(/HTTP\/1.1 (\d+)/g)].map(async ([, code]) => ({ statusCode: Number(code) })))
  }
  t.strictSame(await pipeline(() => ({})), { 200: 6 + 1, 429: 14 })
  t.strictSame(await pipeline((i) => ({ Authorization: `Bearer ${tokenFor(user, { jti: i < 4 ? i : 0 })}` })), {
    200: 8 + 1,
    429: 12
  })
})

t.test('health checks, documentation and preflights are never limited', async (t) => {
  stopClock(t)
  const CORS_ORIGIN = 'https://app.example.com'
  for (const env of [{}, { CORS_ORIGIN }]) {
    await t.test(JSON.stringify(env), async (t) => {
      const app = await build(t, { RATE_LIMIT_ANONYMOUS_MAX: '1', RATE_LIMIT_MAX: '1', ...env })
      t.strictSame(await flood(app, 3, () => ({ url: '/nowhere' })), { 404: 1, 429: 2 })
      for (const url of ['/health/live', '/health/ready', '/openapi.json', '/docs']) {
        t.strictSame(await flood(app, 20, () => ({ url })), { 200: 20 }, url)
      }
      const preflight = { origin: CORS_ORIGIN, 'access-control-request-method': 'GET' }
      const asked = await flood(app, 20, () => ({ method: 'OPTIONS', url: '/api/tasks', headers: preflight }))
      t.strictSame(asked, { 204: 20 })
    })
  }
})

t.test('off', async (t) => {
  stopClock(t)
  const headers = asUser(newUser())
  const anonymous = { url: '/api/session' }
  const forgery = (i: number) => ({ url: '/nowhere', headers: forged(i) })
  const off = await buildAlone(t, { RATE_LIMIT_MAX: 'off', RATE_LIMIT_ANONYMOUS_MAX: 'off' })
  t.notOk(off.limits.degraded())
  t.strictSame(await flood(off, 700, () => ({ url: '/api/session', headers })), { 200: 700 })
  t.strictSame(await flood(off, 200, () => anonymous), { 200: 200 })
  t.strictSame(await flood(off, 200, forgery), { 404: 200 })
  t.strictSame(
    Object.keys((await off.inject({ ...anonymous, headers })).headers).filter((name) => name.includes('ratelimit')),
    []
  )

  const users = await buildAlone(t, { RATE_LIMIT_MAX: '2', RATE_LIMIT_ANONYMOUS_MAX: 'off' })
  t.strictSame(await flood(users, 9, () => ({ url: '/api/session', headers })), { 200: 2, 429: 7 })
  t.strictSame(await flood(users, 200, () => anonymous), { 200: 200 })
})

t.test('what the client sees', async (t) => {
  const pass = stopClock(t)
  const app = await buildAlone(t, {
    RATE_LIMIT_MAX: '2',
    RATE_LIMIT_ANONYMOUS_MAX: '1',
    CORS_ORIGIN: 'https://a.example'
  })
  const headers = { ...asUser(newUser()), origin: 'https://a.example' }
  const ask = (url = '/api/session') => app.inject({ url, headers })
  const first = await ask()
  t.match(first.headers, {
    'ratelimit-policy': '"user";q=2;w=60',
    ratelimit: '"user";r=1;t=60',
    'x-ratelimit-limit': '2',
    'x-ratelimit-remaining': '1',
    'x-ratelimit-reset': '60'
  })
  t.notOk(first.headers['retry-after'])
  pass(500)
  t.match((await ask('/nowhere')).headers, { ratelimit: '"user";r=0;t=60', 'x-ratelimit-remaining': '0' })
  pass(30_000)
  const refused = await ask()
  t.equal(refused.statusCode, 429)
  t.equal(refused.headers['content-type'], 'application/problem+json; charset=utf-8')
  t.strictSame(refused.json(), {
    type: 'about:blank',
    title: 'Too Many Requests',
    status: 429,
    detail: 'Too many requests',
    code: 'rate_limited'
  })
  t.match(refused.headers, {
    'retry-after': '30',
    'ratelimit-policy': '"user";q=2;w=60',
    ratelimit: '"user";r=0;t=30',
    'x-ratelimit-limit': '2',
    'x-ratelimit-remaining': '0',
    'x-ratelimit-reset': '30',
    'access-control-allow-origin': 'https://a.example',
    'x-request-id': /./
  })
  for (const name of [
    'RateLimit',
    'RateLimit-Policy',
    'X-RateLimit-Limit',
    'X-RateLimit-Remaining',
    'X-RateLimit-Reset'
  ]) {
    t.ok(String(refused.headers['access-control-expose-headers']).split(', ').includes(name), name)
  }
  for (const [status, url] of [
    [401, '/api/tasks'],
    [429, '/api/session'],
    [429, '/nowhere']
  ] as const) {
    const answer = await app.inject({ url, headers: { origin: 'https://a.example' } })
    t.equal(answer.statusCode, status)
    t.match(answer.headers, {
      'ratelimit-policy': '"anonymous";q=1;w=60',
      ratelimit: '"anonymous";r=0;t=60',
      'x-ratelimit-limit': '1',
      'x-ratelimit-remaining': '0',
      'access-control-allow-origin': 'https://a.example',
      'x-request-id': /./,
      ...(status === 401 ? { 'www-authenticate': 'Bearer' } : { 'retry-after': '60' })
    })
  }
})

t.test('a route may have a limit of its own, which counts beside the user’s', async (t) => {
  const pass = stopClock(t)
  const app = await buildAlone(t, { RATE_LIMIT_MAX: '5' }, (app) => {
    const guards = [app.authenticate, app.limitUser]
    const config = { rateLimit: { max: 2, timeWindow: '10 seconds' } }
    app.get('/own', { onRequest: guards, config }, async () => 'ok')
    app.post('/own', { onRequest: guards, config: { rateLimit: { max: 3, timeWindow: 5000 } } }, async () => 'ok')
    app.get('/public', { config }, async () => 'ok')
  })
  const [alice, bob] = [asUser(newUser()), asUser(newUser())]
  const own = (headers: { authorization: string }, method: 'GET' | 'HEAD' | 'POST' = 'GET') =>
    app.inject({ method, url: '/own', headers })
  t.match((await own(alice)).headers, {
    'ratelimit-policy': '"user";q=5;w=60, "route";q=2;w=10',
    ratelimit: '"user";r=4;t=60, "route";r=1;t=10',
    'x-ratelimit-limit': '2',
    'x-ratelimit-remaining': '1',
    'x-ratelimit-reset': '10'
  })
  t.equal((await own(alice, 'HEAD')).statusCode, 200)
  const refused = await own(alice)
  t.equal(refused.statusCode, 429)
  t.equal(refused.headers['retry-after'], '10')
  t.equal((await own(bob)).statusCode, 200, 'each user has it for themselves')
  const post = await own(alice, 'POST')
  t.equal(post.statusCode, 200, 'each route has its own')
  t.match(post.headers, { 'x-ratelimit-limit': '5', 'x-ratelimit-remaining': '1' }, 'the limit with the least left')
  pass(10_000)
  t.equal((await own(alice)).statusCode, 200)
  const spent = await own(alice)
  t.match([spent.statusCode, spent.headers.ratelimit], [429, '"user";r=0;t=50'], 'every request counted for the user')

  t.strictSame(await flood(app, 9, () => ({ url: '/public' })), { 200: 2, 429: 7 })
  t.strictSame(await flood(app, 9, () => ({ url: '/public', remoteAddress: '192.0.2.1' })), { 200: 2, 429: 7 })
})

t.test('a limit of a route that we would not keep is refused at the start', async (t) => {
  for (const rateLimit of [
    false,
    {},
    { max: 5 },
    { max: 0, timeWindow: 1000 },
    { max: 1.5, timeWindow: 1000 },
    { max: () => 5, timeWindow: 1000 },
    { max: 5, timeWindow: 'soon' },
    { max: 5, timeWindow: 0 },
    { max: 5, timeWindow: 1000, groupId: 'together' }
  ] as const) {
    const built = buildAlone(t, {}, (app) => void app.get('/own', { config: { rateLimit } }, async () => 'ok'))
    await t.rejects(built, { message: /^GET \/own: rateLimit takes max/ }, JSON.stringify(rateLimit))
  }
})
