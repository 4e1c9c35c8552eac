import Fastify from 'fastify'
import t from 'tap'
import auth from '../../plugins/auth.ts'
import rateLimit from '../../plugins/rate-limit.ts'
import { loadConfig } from '../../src/config/config.ts'
import { asUser, build, buildAlone, claimsOf, SECRET } from '../support/app.ts'
import { guard } from '../support/guard.ts'
import { keyPair } from '../support/key-pair.ts'
import { keyServer, publish, send } from '../support/key-server.ts'

const APP = 'https://app.example.com'
const key = keyPair('EdDSA', 'key')

const goodToken = (claims: object = {}) => key.token(claimsOf('alice', { iss: APP, aud: APP, ...claims }))

/** The lines that a start with `env` logs. */
async function logOf(env: Record<string, string>) {
  const lines: string[] = []
  const app = Fastify({
    logger: { level: 'info', stream: { write: (line: string) => void lines.push(JSON.parse(line).msg) } }
  })
  app.decorate('config', loadConfig({ NODE_ENV: 'test', ...env }))
  await app.register(rateLimit)
  await app.register(auth)
  await app.close()
  return lines
}

t.test('a secret beside published keys is ignored with one line, unless ALGORITHM names its algorithm', async (t) => {
  const { url } = await keyServer(t, publish([key.jwk]))
  const env = { BETTER_AUTH_SECRET: SECRET, BETTER_AUTH_URL: APP, JWKS_URL: url }
  const lines = await logOf(env)
  t.equal(lines.filter((line) => line.startsWith('BETTER_AUTH_SECRET is ignored')).length, 1)
  t.notOk(lines.some((line) => line.includes(SECRET)))
  const keys = await guard(t, env)
  t.match(await keys.call(goodToken()), { status: 200, sub: 'alice' })
  const { authorization } = asUser('alice', { iss: APP, aud: APP })
  const shared = authorization.slice('Bearer '.length)
  t.match(await keys.call(shared), { status: 401, code: 'token_algorithm' })
  const secret = await guard(t, { ...env, ALGORITHM: 'HS256' })
  t.match(await secret.call(shared), { status: 200 })
  t.match(await secret.call(goodToken()), { status: 401, code: 'token_algorithm' })
  t.strictSame(await logOf({ ...env, ALGORITHM: 'HS256' }), [])
})

t.test('the log says at start where the keys are fetched (issue 16)', async (t) => {
  const { url } = await keyServer(t, publish([key.jwk]))
  const lines = await logOf({ BETTER_AUTH_URL: APP, JWKS_URL: url })
  t.equal(lines[0], `tokens are verified with the keys that are published at ${url}`)
})

t.test('without any key: 503 with Retry-After, and not ready; start-up does not wait', async (t) => {
  const server = await keyServer(t, send('', 500))
  const app = await build(t, { BETTER_AUTH_URL: APP, JWKS_URL: server.url })
  const headers = { authorization: `Bearer ${goodToken()}` }
  const refused = await app.inject({ url: '/api/tasks', headers })
  t.match(refused, { statusCode: 503, headers: { 'retry-after': '1' } })
  t.match(refused.json(), { code: 'keys_unavailable' })
  t.equal(refused.headers['www-authenticate'], undefined)
  const session = (headers = {}) => app.inject({ url: '/api/session', headers })
  t.match(await session(headers), { statusCode: 503 }, 'nobody is told that they are signed out')
  t.match((await session()).json(), { user: null })
  const ready = await app.inject('/health/ready')
  t.match(ready, { statusCode: 503, headers: { 'retry-after': '1' } })
  t.match(ready.json(), { code: 'keys_unavailable' })
  t.equal((await app.inject('/health/live')).statusCode, 200)
  server.answer(publish([key.jwk]))
  t.equal((await app.inject({ url: '/api/tasks', headers })).statusCode, 200)
  t.equal((await app.inject('/health/ready')).statusCode, 200)
  server.answer(send('', 500))
  t.equal((await app.inject({ url: '/api/tasks', headers })).statusCode, 200)
})

t.test('protected-resource metadata (RFC 9728) names the issuer and what was called', async (t) => {
  const { url: JWKS_URL } = await keyServer(t)
  const app = await buildAlone(t, { BETTER_AUTH_URL: APP, JWKS_URL, TRUST_PROXY: '127.0.0.1' })
  const metadata = (headers: Record<string, string>) =>
    app.inject({ url: '/.well-known/oauth-protected-resource', headers })
  const direct = await metadata({ host: 'api.example.com:3000' })
  t.equal(direct.statusCode, 200)
  t.equal(direct.headers['cache-control'], 'no-store')
  t.strictSame(direct.json(), {
    resource: 'http://api.example.com:3000',
    authorization_servers: [APP],
    scopes_supported: ['tasks:read', 'tasks:write'],
    bearer_methods_supported: ['header'],
    resource_name: 'Rowkeeper'
  })
  const proxied = await metadata({
    host: 'internal',
    'x-forwarded-host': 'api.example.com',
    'x-forwarded-proto': 'https'
  })
  t.equal(proxied.json().resource, 'https://api.example.com')
  t.equal((await metadata({ host: '[::1]:3000' })).json().resource, 'http://[::1]:3000')
  for (const host of ['a"b', 'a, Basic realm=x', 'user@host', 'host/path']) {
    t.equal((await metadata({ host })).statusCode, 400, host)
  }
})

t.test('WWW-Authenticate names the metadata, when the mode is published keys', async (t) => {
  const { url: JWKS_URL } = await keyServer(t, publish([key.jwk]))
  const keys = await guard(t, { BETTER_AUTH_URL: APP, JWKS_URL })
  const named = 'resource_metadata="http://api.example.com/.well-known/oauth-protected-resource"'
  const host = { host: 'api.example.com' }
  t.equal((await keys.app.inject({ url: '/', headers: host })).headers['www-authenticate'], `Bearer ${named}`)
  const invalid = 'Bearer error="invalid_token", error_description="Invalid token: malformed"'
  t.equal((await keys.call('x', host)).challenge, `${invalid}, ${named}`)
  t.equal((await keys.call('x', { host: 'a"b' })).challenge, invalid, 'but no forged host')
  t.equal((await keys.call(goodToken())).challenge, undefined)
  const secret = await guard(t, { BETTER_AUTH_SECRET: SECRET })
  t.equal((await secret.call('x')).challenge, invalid, 'a shared secret has no issuer to name')
  t.equal((await secret.app.inject('/')).headers['www-authenticate'], 'Bearer')
})

t.test('a shared secret has no metadata, and is always ready', async (t) => {
  const app = await build(t)
  t.equal((await app.inject('/.well-known/oauth-protected-resource')).statusCode, 404)
  t.equal((await app.inject('/health/ready')).statusCode, 200)
})

t.test('where OAuth access tokens are accepted the resource is an audience that they may name', async (t) => {
  const { url: JWKS_URL } = await keyServer(t, publish([key.jwk]))
  const challenge = async (audience: string) => {
    const { app } = await guard(t, { BETTER_AUTH_URL: APP, JWKS_URL, JWT_AUDIENCE: audience })
    const answer = await app.inject({ url: '/', headers: { host: 'api.example.com' } })
    return /"(.*)\/\.well-known/.exec(String(answer.headers['www-authenticate']))?.[1]
  }
  t.equal(await challenge('https://rows.example.com'), 'https://rows.example.com')
  t.equal(await challenge('tasks,https://rows.example.com,http://api.example.com'), 'http://api.example.com')
  t.equal(await challenge('tasks,https://'), 'http://api.example.com', 'none of them is an origin')
})

t.test('the metadata names the issuer of the OAuth access tokens where they are accepted', async (t) => {
  const { url: JWKS_URL } = await keyServer(t)
  const app = await buildAlone(t, { BETTER_AUTH_URL: APP, JWKS_URL, JWT_AUDIENCE: 'https://rows.example.com' })
  const { resource, authorization_servers } = (await app.inject('/.well-known/oauth-protected-resource')).json()
  t.strictSame([resource, authorization_servers], ['https://rows.example.com', [`${APP}/api/auth`]])
})

t.test('one Authorization header, one scheme, one token', async (t) => {
  const { app } = await guard(t, { BETTER_AUTH_SECRET: SECRET })
  const { authorization } = asUser('alice')
  const code = async (value: string | string[]) => {
    const answer = await app.inject({ url: '/', headers: { authorization: value as string } })
    return answer.statusCode === 200 ? 200 : answer.json().code
  }
  t.equal(await code(authorization), 200)
  t.equal(await code(authorization.replace('Bearer ', 'bEARER   ')), 200)
  t.equal(await code(''), 'authorization_missing')
  t.equal(await code('Basic YTpi'), 'authorization_scheme')
  t.equal(await code('Bearer'), 'authorization_format')
  t.equal(await code(`${authorization}, ${authorization}`), 'authorization_format')
  t.equal(await code(`${authorization} x`), 'authorization_format')
  t.equal(await code('Bearer tök.e.n'), 'authorization_format')
  t.equal(await code([authorization, authorization]), 'authorization_format')
})
