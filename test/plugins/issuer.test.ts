import t from 'tap'
import { build, claimsOf } from '../support/app.ts'
import { guard } from '../support/guard.ts'
import { ALGORITHMS, ISSUER_SECRET, type Session, startIssuer } from '../support/issuer.ts'

const API = 'https://api.example.com'

const accepted = { status: 200 }
const refused = (code: string) => ({ status: 401, code })

for (const algorithm of ALGORITHMS) {
  t.test(`a user who signed in with Better Auth is let in, ${algorithm}`, async (t) => {
    const issuer = await startIssuer(t, algorithm)
    const user = await issuer.signUp()
    const token = await issuer.token(user)
    const { call } = await guard(t, { BETTER_AUTH_URL: issuer.url })
    t.match(await call(token), { status: 200, sub: user.id })
    const same = await guard(t, { BETTER_AUTH_URL: issuer.url, ALGORITHM: algorithm })
    t.match(await same.call(token), { status: 200, sub: user.id })
    const other = await guard(t, { BETTER_AUTH_URL: issuer.url, ALGORITHM: algorithm === 'EdDSA' ? 'ES256' : 'EdDSA' })
    t.match(await other.call(token), refused('token_algorithm'))
  })
}

t.test('a user of a Better Auth server whose URL has a path is let in (issue 16)', async (t) => {
  for (const path of ['/auth', '/api/auth', '/auth/api/auth', '/auth/v1']) {
    const issuer = await startIssuer(t, 'EdDSA', 'keys', path)
    const user = await issuer.signUp()
    for (const slashes of ['', '/']) {
      const { call } = await guard(t, { BETTER_AUTH_URL: issuer.url + slashes })
      t.match(await call(await issuer.token(user)), { status: 200, sub: user.id }, path + slashes)
    }
  }
})

t.test('users who signed in with Better Auth have their own tasks', async (t) => {
  const issuer = await startIssuer(t)
  const user = await issuer.signUp()
  const app = await build(t, { BETTER_AUTH_URL: issuer.url })
  const headersOf = async (session: Session) => ({ authorization: `Bearer ${await issuer.token(session)}` })
  const headers = await headersOf(user)
  t.match((await app.inject({ url: '/api/session', headers })).json(), { user: { sub: user.id, scope: null } })
  const payload = { title: 'Buy milk' }
  const { statusCode, headers: created } = await app.inject({ method: 'POST', url: '/api/tasks', headers, payload })
  t.equal(statusCode, 201)
  const url = String(created.location)
  t.equal((await app.inject({ url, headers })).statusCode, 200)
  t.equal((await app.inject({ url, headers: await headersOf(await issuer.signUp()) })).statusCode, 404)
  t.equal((await app.inject({ url: '/health/ready' })).statusCode, 200)
})

t.test('rotation in mid-traffic: no request of a signed-in user fails', async (t) => {
  const issuer = await startIssuer(t)
  const users = await Promise.all([issuer.signUp(), issuer.signUp(), issuer.signUp()])
  const app = await guard(t, { BETTER_AUTH_URL: issuer.url })
  const answers: number[] = []
  for (let rotation = 0; rotation < 3; rotation++) {
    const before = await Promise.all(users.map(issuer.token))
    const traffic = before.map((token) => app.call(token))
    const kid = await issuer.rotate()
    const after = await Promise.all(users.map(issuer.token))
    t.ok(
      after.every((token) =>
        token.startsWith(Buffer.from(`{"alg":"EdDSA","kid":"${kid}"`).toString('base64url').slice(0, -2))
      )
    )
    traffic.push(...after.map((token) => app.call(token)), ...before.map((token) => app.call(token)))
    for (const { status } of await Promise.all(traffic)) answers.push(status)
  }
  t.strictSame(answers, Array(27).fill(200))
  t.equal(issuer.keyFetches(), 4, 'one fetch at the start, and one a rotation')
})

t.test('an issuer that goes down takes no signed-in user with it', async (t) => {
  const issuer = await startIssuer(t)
  const user = await issuer.signUp()
  const app = await guard(t, { BETTER_AUTH_URL: issuer.url })
  const [first, second] = [await issuer.token(user), await issuer.mint(claimsOf(user.id))]
  t.match(await app.call(first), accepted)
  await issuer.stop()
  t.match(await app.call(first), accepted, 'seen before')
  t.match(await app.call(second), accepted, 'first seen now')
})

t.test('the session-cache cookie, a JWT of the same keys, is no API token', async (t) => {
  const issuer = await startIssuer(t)
  const { cookies } = await issuer.signUp()
  const app = await guard(t, { BETTER_AUTH_URL: issuer.url })
  t.match(await app.call(cookieToken(cookies)), refused('token_type'))
})

t.test('the session-cache cookie, a JWT of the secret, is no API token in either mode', async (t) => {
  const issuer = await startIssuer(t, 'EdDSA', 'secret')
  const token = cookieToken((await issuer.signUp()).cookies)
  t.match(await (await guard(t, { BETTER_AUTH_SECRET: ISSUER_SECRET })).call(token), refused('token_subject'))
  const keys = await guard(t, { BETTER_AUTH_SECRET: ISSUER_SECRET, BETTER_AUTH_URL: issuer.url })
  t.match(await keys.call(token), refused('token_algorithm'))
})

function cookieToken(cookies: string[]): string {
  const token = cookies.map((cookie) => /^better-auth\.session_data=([^;]+)/.exec(cookie)?.[1]).find((one) => one)
  if (token === undefined || token.split('.').length !== 3) throw new Error(`no JWT in ${cookies}`)
  return token
}

t.test('the link of a verification e-mail is no API token in either mode', async (t) => {
  const issuer = await startIssuer(t)
  await issuer.sendVerificationMail(await issuer.signUp())
  const [token = ''] = issuer.mails
  t.match(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()), { userId: String })
  t.match(await (await guard(t, { BETTER_AUTH_SECRET: ISSUER_SECRET })).call(token), refused('token_subject'))
  const keys = await guard(t, { BETTER_AUTH_SECRET: ISSUER_SECRET, BETTER_AUTH_URL: issuer.url })
  t.match(await keys.call(token), refused('token_algorithm'))
})

t.test('id and logout tokens of the OAuth provider are no API tokens', async (t) => {
  const issuer = await startIssuer(t)
  const { id } = await issuer.signUp()
  const app = await guard(t, { BETTER_AUTH_URL: issuer.url })
  const open = await guard(t, { BETTER_AUTH_URL: issuer.url, JWT_AUDIENCE: API })
  const iss = `${issuer.url}/api/auth`
  const idToken = await issuer.mint(claimsOf(id, { iss, aud: 'client-1', auth_time: 1, acr: '0', nonce: 'n' }))
  t.match(await app.call(idToken), refused('token_issuer'))
  t.match(await open.call(idToken), refused('token_issuer'))
  const ours = await guard(t, { BETTER_AUTH_URL: issuer.url, JWT_ISSUER: iss, JWT_AUDIENCE: API })
  t.match(await ours.call(idToken), refused('token_audience'))
  const events = { 'http://schemas.openid.net/event/backchannel-logout': {} }
  const logout = await issuer.mint(claimsOf(id, { iss, aud: 'client-1', events, jti: 'j', sid: 's' }), 'logout+jwt')
  for (const one of [app, open, ours]) t.match(await one.call(logout), refused('token_type'))
})

t.test('OAuth access tokens (RFC 9068) are accepted for our audience, by the rules of their own', async (t) => {
  const issuer = await startIssuer(t)
  const { id } = await issuer.signUp()
  const iss = `${issuer.url}/api/auth`
  const claims = {
    iss,
    aud: [API, `${iss}/oauth2/userinfo`],
    client_id: 'c',
    azp: 'c',
    scope: 'openid tasks:read',
    jti: 'j'
  }
  const mint = (other: object = {}, typ = 'at+jwt') => issuer.mint(claimsOf(id, { ...claims, ...other }), typ)
  const app = await guard(t, { BETTER_AUTH_URL: issuer.url, JWT_AUDIENCE: API })
  const token = await mint()
  t.match(await app.call(token), accepted)
  t.match(await app.call(await mint({}, 'application/AT+JWT')), accepted)
  t.match(await app.call(await mint({ exp: Math.floor(Date.now() / 1000) + 3600 })), accepted)
  t.match(await app.call(await mint({ exp: Math.floor(Date.now() / 1000) + 3660 })), refused('token_lifetime'))
  t.match(await app.call(await mint({ client_id: undefined })), refused('token_claim'))
  t.match(await app.call(await mint({ jti: undefined })), refused('token_claim'))
  t.match(await app.call(await mint({ aud: 'https://other.example.com' })), refused('token_audience'))
  t.match(await app.call(await mint({ iss: issuer.url })), refused('token_issuer'))
  t.match(await app.call(await mint({}, 'JWT')), refused('token_issuer'), 'and not as an API token')
  t.match(await app.call(await mint({ cnf: { jkt: 'thumbprint' } })), refused('token_bound'))
  const closed = await guard(t, { BETTER_AUTH_URL: issuer.url })
  t.match(await closed.call(await mint({ aud: issuer.url })), refused('token_type'), 'off until JWT_AUDIENCE is set')
})
