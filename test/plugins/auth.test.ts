import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { asUser, buildAlone, claimsOf, newUser, SECRET, sign, tokenFor } from '../support/app.ts'
import { listen, requestText, send } from '../support/http.ts'
import { replace } from '../support/replace.ts'

const HS256 = { alg: 'HS256', typ: 'JWT' }
const now = () => Math.floor(Date.now() / 1000)

/** The application with one more route, which tells whether its handler ran. */
async function withProbe(t: Parameters<typeof buildAlone>[0], env: Record<string, string> = {}) {
  const seen: unknown[] = []
  const app = await buildAlone(t, { RATE_LIMIT_MAX: 'off', ...env }, (app: FastifyInstance) => {
    app.get('/probe', { onRequest: app.authenticate }, (request) => {
      seen.push(request.user)
      return request.user
    })
  })
  const ask = (authorization?: string) =>
    app.inject({ url: '/probe', headers: authorization === undefined ? {} : { authorization } })
  return { app, seen, ask }
}

t.test('a good token is let in, and only its subject is believed', async (t) => {
  const { seen, ask } = await withProbe(t)
  const user = newUser()
  for (const scheme of ['Bearer ', 'bearer ', 'BEARER   ']) {
    t.match((await ask(`${scheme}${tokenFor(user)}`)).json(), { sub: user, scope: null })
  }
  for (const [what, header, claims] of [
    ['no typ', { alg: 'HS256' }, {}],
    ['typ in lower case', { alg: 'HS256', typ: 'jwt' }, {}],
    [
      'headers that name a key of their own',
      {
        ...HS256,
        jwk: { kty: 'oct', k: 'AAAA' },
        jku: 'https://evil.example',
        x5u: 'https://evil.example',
        x5c: ['x']
      },
      {}
    ],
    ['a userId claim of somebody else', HS256, { userId: 'bob', user_id: 'bob', id: 'bob', email: 'bob@example.com' }],
    ['an audience that is not asked for', HS256, { aud: 'whoever', iss: 'whoever' }],
    ['a clock that is 4 s off', HS256, () => ({ iat: now() + 4, nbf: now() + 4 })],
    ['an expiry that is 4 s ago', HS256, () => ({ exp: now() - 4 })],
    ['a lifetime of 30 minutes', HS256, { iat: now(), exp: now() + 1800 }],
    ['dates with a fraction', HS256, { iat: now() - 0.5, exp: now() + 10.5 }],
    ['255 bytes of subject', HS256, { sub: `${'é'.repeat(127)}x` }]
  ] as const) {
    // A time that is one second within the tolerance is told just before it is asked for.
    const claimed = typeof claims === 'function' ? claims() : claims
    const answer = await ask(`Bearer ${sign(header, claimsOf(user, claimed))}`)
    t.equal(answer.statusCode, 200, what)
    t.equal(answer.json().sub, 'sub' in claimed ? claimed.sub : user, what)
  }
  t.ok(
    seen.every((one) => Object.isFrozen(one)),
    'requests that share a verdict cannot change it'
  )
})

t.test('without credentials the challenge is bare (RFC 6750 section 3)', async (t) => {
  const { seen, ask } = await withProbe(t)
  for (const authorization of [undefined, '']) {
    const answer = await ask(authorization)
    t.equal(answer.statusCode, 401)
    t.equal(answer.json().detail, 'Authorization header missing')
    t.equal(answer.headers['www-authenticate'], 'Bearer')
  }
  for (const authorization of ['Basic YWxpY2U6cHc=', tokenFor('alice'), 'Bearertoken', 'Token x', 'DPoP x']) {
    const answer = await ask(authorization)
    t.equal(answer.statusCode, 401)
    t.equal(answer.json().detail, 'Invalid authorization format. Use: Bearer <token>')
    t.equal(answer.headers['www-authenticate'], 'Bearer')
  }
  t.same(seen, [], 'the handler never ran')
})

t.test('bad credentials are an invalid_token (RFC 6750 section 3.1), with a fixed reason', async (t) => {
  const { seen, ask } = await withProbe(t)
  const good = claimsOf('alice')
  const [head, body, signature] = tokenFor('alice').split('.') as [string, string, string]
  const part = (text: string) => Buffer.from(text).toString('base64url')
  const format = 'Invalid authorization format. Use: Bearer <token>'
  const malformed = 'Invalid token: malformed'
  const wrong = 'Invalid token: wrong signature'
  const claim = 'Invalid token: a claim is missing or has the wrong type'
  const nobody = 'Invalid token: missing user identifier'
  const signed = (claims: object) => sign(HS256, { ...good, ...claims })
  const without = (name: string) => sign(HS256, { ...good, [name]: undefined })

  const cases: [what: string, token: string, detail: string][] = [
    ['nothing', '', format],
    ['two tokens', `${tokenFor('alice')} ${tokenFor('bob')}`, format],
    ['two in a list', `${tokenFor('alice')}, Bearer ${tokenFor('bob')}`, format],
    ['quotes', `"${tokenFor('alice')}"`, format],
    ['not a token', 'x', malformed],
    ['two parts', `${head}.${body}`, malformed],
    ['four parts', `${head}.${body}.${signature}.x`, malformed],
    ['five parts, as a JWE has', `${head}.${body}.${signature}.x.y`, malformed],
    ['empty parts', '..', malformed],
    ['no signature', `${head}.${body}.`, malformed],
    ['a character outside base64url in the header', `${head}~.${body}.${signature}`, malformed],
    ['padding', `${head}.${body}.${signature}=`, malformed],
    ['plain base64', `${head}.${body}.${signature.slice(0, -1)}+`, malformed],
    [
      'spare bits set in the signature',
      `${head}.${body}.${signature.slice(0, -1)}${String.fromCharCode(signature.charCodeAt(42) + 1)}`,
      malformed
    ],
    ['a header that is no JSON', `${part('{')}.${body}.${signature}`, malformed],
    ['a header that is an array', `${part('["HS256"]')}.${body}.${signature}`, malformed],
    ['a header that is null', `${part('null')}.${body}.${signature}`, malformed],
    ['a payload that is text', sign(HS256, '"alice"'), malformed],
    ['a payload that is a number', sign(HS256, '1'), malformed],
    [
      'a payload that is not UTF-8',
      `${head}.${Buffer.from('{"sub":"\xff"}', 'latin1').toString('base64url')}.${signature}`,
      malformed
    ],
    ['a byte order mark', sign(HS256, `\ufeff${JSON.stringify(good)}`), malformed],
    ['a kid that is no text', sign({ ...HS256, kid: 1 }, good), malformed],
    ['a kid of 256 characters', sign({ ...HS256, kid: 'x'.repeat(256) }, good), malformed],
    ['more than 8 KiB', sign(HS256, { ...good, pad: 'x'.repeat(8192) }), 'Invalid token: longer than 8 KiB'],
    ['alg none', `${part('{"alg":"none"}')}.${body}.${signature}`, 'Invalid token: algorithm not accepted'],
    ['alg None', `${part('{"alg":"None"}')}.${body}.${signature}`, 'Invalid token: algorithm not accepted'],
    ['no alg', sign({ typ: 'JWT' }, good), 'Invalid token: algorithm not accepted'],
    ['alg as a list', sign({ alg: ['HS256'] }, good), 'Invalid token: algorithm not accepted'],
    [
      'HS512 where HS256 is configured',
      sign({ alg: 'HS512' }, good, SECRET, 'sha512'),
      'Invalid token: algorithm not accepted'
    ],
    ['RS256 with the secret as its key', sign({ alg: 'RS256' }, good), 'Invalid token: algorithm not accepted'],
    ['crit', sign({ ...HS256, crit: ['exp'] }, good), 'Invalid token: critical header not understood'],
    ['an empty crit', sign({ ...HS256, crit: [] }, good), 'Invalid token: critical header not understood'],
    ['crit null', sign({ ...HS256, crit: null }, good), 'Invalid token: critical header not understood'],
    [
      'an unencoded payload (RFC 7797)',
      sign({ ...HS256, b64: false, crit: ['b64'] }, good),
      'Invalid token: critical header not understood'
    ],
    ...['at+jwt', 'id_token+jwt', 'logout+jwt', 'dpop+jwt', 'JOSE', 'secevent+jwt', 1, null, ['JWT']].map(
      (typ): [string, string, string] => [
        `typ ${typ}`,
        sign({ alg: 'HS256', typ }, good),
        'Invalid token: type not accepted'
      ]
    ),
    ['another secret', sign(HS256, good, 'x'.repeat(40)), wrong],
    ['an empty secret', sign(HS256, good, ''), wrong],
    ['a changed payload', `${head}.${part(JSON.stringify({ ...good, sub: 'bob' }))}.${signature}`, wrong],
    ['a signature of another length', `${head}.${body}.${part('x')}`, wrong],
    ...[undefined, null, '', 0, 1, true, {}, [], ['alice']].map((sub): [string, string, string] => [
      `sub ${JSON.stringify(sub)}`,
      signed({ sub }),
      nobody
    ]),
    ['256 bytes of subject', signed({ sub: 'é'.repeat(128) }), nobody],
    ['a control character in the subject', signed({ sub: 'ali\u0000ce' }), nobody],
    ['a line break in the subject', signed({ sub: 'alice\n' }), nobody],
    [
      'a lone surrogate in the subject',
      sign(HS256, JSON.stringify({ ...good, sub: 'SUB' }).replace('SUB', '\\ud800')),
      nobody
    ],
    ['no sub but a userId, as in an e-mail verification link', signed({ sub: undefined, userId: 'alice' }), nobody],
    ['no exp', without('exp'), claim],
    ['no iat', without('iat'), claim],
    ['exp as text', signed({ exp: String(now() + 60) }), claim],
    ['exp null', signed({ exp: null }), claim],
    ['exp that is infinite', sign(HS256, `{"sub":"alice","iat":${now()},"exp":1e999}`), claim],
    ['exp as a list', signed({ exp: [now() + 60] }), claim],
    ['iat as text', signed({ iat: 'now' }), claim],
    ['nbf as text', signed({ nbf: 'now' }), claim],
    ['nbf null', signed({ nbf: null }), claim],
    ['scope as a list', signed({ scope: ['tasks:read'] }), claim],
    ['scope null', signed({ scope: null }), claim],
    ['expired 6 s ago', signed({ iat: now() - 60, exp: now() - 6 }), 'Invalid token: expired'],
    ['exp 0', signed({ exp: 0 }), 'Invalid token: expired'],
    ['exp below 0', signed({ exp: -1 }), 'Invalid token: expired'],
    ['iat in the future', signed({ iat: now() + 60 }), 'Invalid token: not valid yet'],
    ['nbf in the future', signed({ nbf: now() + 60 }), 'Invalid token: not valid yet'],
    [
      'a lifetime of more than 30 minutes',
      signed({ iat: now() - 1, exp: now() + 1800 }),
      'Invalid token: lifetime too long'
    ],
    ['cnf (RFC 7800)', signed({ cnf: { jkt: 'x' } }), 'Invalid token: bound to its holder, not a bearer token']
  ]
  for (const [what, token, detail] of cases) {
    const answer = await ask(`Bearer ${token}`)
    t.equal(answer.statusCode, 401, what)
    t.equal(answer.json().detail, detail, what)
    t.equal(answer.headers['www-authenticate'], `Bearer error="invalid_token", error_description="${detail}"`, what)
  }
  t.same(seen, [], 'the handler never ran')
})

t.test('what @fastify/jwt refuses is refused, though its MAC is right', async (t) => {
  const app = await buildAlone(t, {})
  t.intercept(app.jwt, 'verify', {
    value: () => {
      throw new Error('whatever it holds against it')
    }
  })
  const answer = await app.inject({ url: '/api/tasks', headers: asUser(newUser('alice')) })
  t.match(answer.json(), { status: 401, detail: 'Invalid token: wrong signature' })
})

t.test('issuer and audience are exact when configured', async (t) => {
  const { ask } = await withProbe(t, { JWT_ISSUER: 'https://a.example, https://b.example', JWT_AUDIENCE: 'tasks' })
  const detail = async (claims: object) => (await ask(`Bearer ${tokenFor('alice', claims)}`)).json().detail
  const iss = 'https://a.example'
  t.equal(await detail({ iss, aud: 'tasks' }), undefined)
  t.equal(await detail({ iss: 'https://b.example', aud: ['x', 'tasks'] }), undefined)
  for (const bad of [undefined, '', `${iss}/`, 'https://A.example', [iss], {}, null]) {
    t.equal(await detail({ iss: bad, aud: 'tasks' }), 'Invalid token: wrong issuer', JSON.stringify(bad))
  }
  for (const bad of [undefined, '', 'Tasks', [], ['x'], [['tasks']], {}, null, 1]) {
    t.equal(await detail({ iss, aud: bad }), 'Invalid token: wrong audience', JSON.stringify(bad))
  }
})

t.test('JWT_REQUIRED_CLAIMS loosens and tightens', async (t) => {
  const loose = await withProbe(t, { JWT_REQUIRED_CLAIMS: 'sub' })
  const eternal = await loose.ask(`Bearer ${sign(HS256, { sub: 'alice' })}`)
  t.equal(eternal.json().expiresAt, null)
  t.equal((await loose.ask(`Bearer ${sign(HS256, { sub: 'alice' })}`)).statusCode, 200, 'from the cache too')
  t.equal(
    (await loose.ask(`Bearer ${sign(HS256, { sub: 'alice', exp: 1 })}`)).statusCode,
    401,
    'what is there still counts'
  )
  await loose.app.close()
  const strict = await withProbe(t, { JWT_REQUIRED_CLAIMS: 'sub,exp,iat,jti' })
  t.equal((await strict.ask(`Bearer ${tokenFor('alice')}`)).statusCode, 401)
  t.equal((await strict.ask(`Bearer ${tokenFor('alice', { jti: 'x' })}`)).statusCode, 200)
})

for (const [alg, hash] of [
  ['HS384', 'sha384'],
  ['HS512', 'sha512']
] as const) {
  t.test(`${alg} when it is named, and then nothing else`, async (t) => {
    const { ask } = await withProbe(t, { ALGORITHM: alg })
    t.equal((await ask(`Bearer ${sign({ alg }, claimsOf('alice'), SECRET, hash)}`)).statusCode, 200)
    t.equal((await ask(`Bearer ${tokenFor('alice')}`)).statusCode, 401)
  })
}

t.test('a remembered token expires on time', async (t) => {
  const { ask } = await withProbe(t)
  const start = now() * 1000
  const token = tokenFor('alice', { exp: now() + 60 })
  t.equal((await ask(`Bearer ${token}`)).statusCode, 200)
  let wall = start + 64_000
  replace(t, Date, 'now', () => wall)
  t.equal((await ask(`Bearer ${token}`)).statusCode, 200, 'within the tolerance')
  wall = start + 66_000
  t.equal((await ask(`Bearer ${token}`)).json().detail, 'Invalid token: expired')
})

t.test('two Authorization lines are refused, whichever comes first', async (t) => {
  const { app, seen } = await withProbe(t)
  const port = await listen(app)
  for (const [first, second] of [
    [`Bearer ${tokenFor('alice')}`, `Bearer ${tokenFor('bob')}`],
    [`Bearer ${tokenFor('alice')}`, 'Basic x'],
    ['Basic x', `Bearer ${tokenFor('alice')}`]
  ]) {
    const headers = { Authorization: first ?? '', AUTHORIZATION: second ?? '', Connection: 'close' }
    const answer = await send(port, requestText('GET', '/probe', headers))
    t.match(answer.text, /^HTTP\/1.1 401 /)
    t.match(answer.text, 'Invalid authorization format. Use: Bearer <token>')
  }
  t.same(seen, [])
})

t.test('optional authentication', async (t) => {
  const app = await buildAlone(t, {}, (app) => {
    app.get('/lenient', { onRequest: app.authenticateOptional() }, (request) => ({ user: request.user }))
    app.get('/strict', { onRequest: app.authenticateOptional({ rejectBadToken: true }) }, (request) => ({
      user: request.user
    }))
  })
  const ask = async (url: string, headers: Record<string, string>) => {
    const answer = await app.inject({ url, headers })
    return answer.statusCode === 200 ? (answer.json().user?.sub ?? null) : answer.statusCode
  }
  for (const url of ['/lenient', '/strict', '/api/session']) {
    t.equal(await ask(url, {}), null, `${url} without a token`)
    t.equal(await ask(url, asUser('alice')), 'alice', `${url} with a good one`)
  }
  for (const headers of [{ authorization: 'Bearer x' }, { authorization: 'Basic x' }, asUser('alice', { exp: 1 })]) {
    t.equal(await ask('/lenient', headers), null)
    t.equal(await ask('/api/session', headers), null)
    t.equal(await ask('/strict', headers), 401)
  }
})

t.test('the session tells the scope and the expiry of the token', async (t) => {
  const app = await buildAlone(t)
  const exp = now() + 60
  const answer = await app.inject({
    url: '/api/session/',
    headers: asUser('alice', { exp, scope: 'tasks:read  openid' })
  })
  t.same(answer.json(), {
    user: { sub: 'alice', scope: ['tasks:read', 'openid'], expiresAt: new Date(exp * 1000).toISOString() }
  })
  await app.close()
  const plain = await buildAlone(t, { JWT_REQUIRED_CLAIMS: 'sub' })
  const forever = await plain.inject({
    url: '/api/session',
    headers: { authorization: `Bearer ${sign(HS256, { sub: 'bob' })}` }
  })
  t.same(forever.json(), { user: { sub: 'bob', scope: null, expiresAt: null } })
})
