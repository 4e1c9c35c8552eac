import type { RequestListener } from 'node:http'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { buildAlone, claimsOf, metric } from '../support/app.ts'
import { type KeyPair, keyPair } from '../support/key-pair.ts'
import { keyServer, publish, until } from '../support/key-server.ts'
import { stopClock } from '../support/timers.ts'

// Issue 15, numbers 13, 14 and 15: what happens to users while the keys of their issuer change.

const APP = 'https://app.example.com'
const SECOND = 1000
const old = keyPair('EdDSA', 'old')

const tokenOf = (key: KeyPair, sub: string, header: object = {}) =>
  key.token(claimsOf(sub, { iss: APP, aud: APP }), header)

const ask = (app: FastifyInstance, token: string, remoteAddress = '192.0.2.1') =>
  app.inject({ url: '/api/session', headers: { authorization: `Bearer ${token}` }, remoteAddress })

const askAll = (app: FastifyInstance, tokens: string[]) => Promise.all(tokens.map((token) => ask(app, token)))

/** How many of the answers have each status; one for nobody counts as a 401. */
function statusesOf(answers: Awaited<ReturnType<typeof ask>>[]) {
  const counts: Record<number, number> = {}
  for (const answer of answers) {
    const status = answer.statusCode === 200 && answer.json().user === null ? 401 : answer.statusCode
    counts[status] = (counts[status] ?? 0) + 1
  }
  return counts
}

/** The application with the published keys `before`, a minute after it fetched them. */
async function setUp(t: Test, before: unknown[] = [old.jwk], env: Record<string, string> = {}) {
  const pass = stopClock(t)
  const server = await keyServer(t, publish(before))
  const app = await buildAlone(t, {
    BETTER_AUTH_URL: APP,
    JWKS_URL: server.url,
    RATE_LIMIT_ANONYMOUS_MAX: '120',
    ...env
  })
  await until(() => app.hasKeys())
  pass(60 * SECOND)
  const waiting = (count: number) => until(() => metric(app, 'key_waiters') === count)
  return { app, server, pass, waiting }
}

/** Answers with the key set when the test says so. */
function held(keys: unknown[]) {
  const waiting: (() => void)[] = []
  const answer: RequestListener = (request, response) => void waiting.push(() => publish(keys)(request, response))
  const release = () => {
    for (const one of waiting.splice(0)) one()
  }
  return { answer, release }
}

const users = (count: number, make: (sub: string) => string) =>
  Array.from({ length: count }, (_, index) => make(`user-${index}`))

const next = keyPair('EdDSA', 'next')
const replaced = keyPair('EdDSA', 'old')
const rsa = keyPair('RS256', 'old')
const { kid: _, ...withoutKid } = old.jwk
const { kid: __, ...replacedWithoutKid } = replaced.jwk

for (const [name, before, after, make] of [
  ['a new kid', [old.jwk], [old.jwk, next.jwk], (sub: string) => tokenOf(next, sub)],
  ['the same kid', [old.jwk], [replaced.jwk], (sub: string) => tokenOf(replaced, sub)],
  ['the same kid and another algorithm', [old.jwk], [rsa.jwk], (sub: string) => tokenOf(rsa, sub)],
  ['no kid', [withoutKid], [replacedWithoutKid], (sub: string) => tokenOf(replaced, sub, { kid: undefined })],
  [
    'one key fewer, and tokens without kid',
    [old.jwk, next.jwk],
    [old.jwk],
    (sub: string) => tokenOf(old, sub, { kid: undefined })
  ]
] as [string, unknown[], unknown[], (sub: string) => string][]) {
  t.test(`400 users of one address pass a rotation to ${name}`, async (t) => {
    const { app, server } = await setUp(t, before)
    server.answer(publish(after))
    t.strictSame(statusesOf(await askAll(app, users(400, make))), { 200: 400 })
    t.equal(server.fetches(), 2, 'one fetch for all of them')
  })
}

t.test('tokens with unknown kids that wait for a fetch take no place from users with known keys', async (t) => {
  const { app, server, waiting } = await setUp(t, [old.jwk], { REQUESTS_MAX: '100' })
  const set = held([old.jwk, next.jwk])
  server.answer(set.answer)
  const flood = users(150, (sub) => tokenOf(next, sub))
  const answers = flood.map((token, index) => ask(app, token, `192.0.2.${index % 10}`))
  await waiting(50)
  await until(() => server.fetches() === 2)
  t.equal((await ask(app, tokenOf(old, 'alice'))).statusCode, 200, 'a known key')
  const late = await ask(app, tokenOf(next, 'bob'))
  t.match(late, { statusCode: 503, headers: { 'retry-after': '2' } }, 'one more is refused at once')
  t.match(late.json(), { code: 'keys_unavailable' })
  set.release()
  t.strictSame(statusesOf(await Promise.all(answers)), { 200: 50, 503: 100 })
  await waiting(0)
  t.strictSame(statusesOf(await Promise.all(flood.slice(0, 90).map((token) => ask(app, token)))), { 200: 90 })
})

t.test('one address does not take all the places of those who wait for a fetch', async (t) => {
  const { app, server, waiting } = await setUp(t, [old.jwk], { REQUESTS_MAX: '100' })
  const set = held([old.jwk, next.jwk])
  server.answer(set.answer)
  const answers = users(60, (sub) => tokenOf(next, sub)).map((token) => ask(app, token))
  await waiting(40)
  const other = ask(app, tokenOf(next, 'bob'), '198.51.100.7')
  await waiting(41)
  await until(() => server.fetches() === 2)
  set.release()
  t.equal((await other).statusCode, 200)
  t.strictSame(statusesOf(await Promise.all(answers)), { 200: 40, 503: 20 })
})

t.test('whoever waits for keys that are not there has a place, and keeps none', async (t) => {
  const { app, server, waiting, pass } = await setUp(t, [old.jwk], { REQUESTS_MAX: '1' })
  const token = tokenOf(next, 'alice')
  t.strictSame(statusesOf([await ask(app, token)]), { 401: 1 })
  server.answer((_request, response) => response.writeHead(500).end())
  pass(SECOND)
  t.equal((await ask(app, token)).statusCode, 503)
  await waiting(0)
})

t.test('forged tokens with a known kid cause one fetch in half a minute', async (t) => {
  const { app, server, pass } = await setUp(t)
  const forged = (jti: number) => replaced.token(claimsOf('alice', { iss: APP, aud: APP, jti }))
  const flood = users(20, (sub) => tokenOf(replaced, sub))
  t.strictSame(statusesOf(await askAll(app, flood)), { 401: 20 })
  t.equal(server.fetches(), 2)
  for (let second = 1; second < 30; second++) {
    pass(SECOND)
    await ask(app, forged(20 + second))
  }
  t.equal(server.fetches(), 2)
  pass(SECOND)
  const token = forged(1000)
  await ask(app, token)
  t.equal(server.fetches(), 3)
  pass(29 * SECOND)
  await ask(app, token)
  t.equal(server.fetches(), 3, 'and none for a token that had its own')
  // A cache may still answer with the previous key set.
  server.answer(publish([replaced.jwk]))
  pass(SECOND)
  t.match((await ask(app, token)).json(), { user: { sub: 'alice' } }, 'a key that was replaced is found')
  t.equal(server.fetches(), 4)
})

t.test('a wrong signature while a fetch is in flight waits for that, and asks for no other', async (t) => {
  const { app, server, waiting } = await setUp(t)
  const set = held([old.jwk])
  server.answer(set.answer)
  const first = ask(app, tokenOf(replaced, 'alice'))
  await until(() => server.fetches() === 2)
  const second = ask(app, tokenOf(replaced, 'bob'))
  await waiting(2)
  set.release()
  t.strictSame(statusesOf(await Promise.all([first, second])), { 401: 2 })
  t.equal(server.fetches(), 2)
})

t.test('a set that changed may be asked for again a second later', async (t) => {
  const { app, server, pass } = await setUp(t)
  for (const key of [replaced, keyPair('EdDSA', 'old')]) {
    server.answer(publish([key.jwk]))
    t.match((await ask(app, tokenOf(key, 'alice'))).json(), { user: { sub: 'alice' } })
    pass(SECOND)
  }
  t.equal(server.fetches(), 3)
})

t.test('a forged token whose key has gone meanwhile is refused', async (t) => {
  const { app, server } = await setUp(t)
  server.answer(publish([next.jwk]))
  t.strictSame(statusesOf([await ask(app, tokenOf(replaced, 'alice'))]), { 401: 1 })
  t.equal(server.fetches(), 2)
})
