import t, { type Test } from 'tap'
import { Key } from '../../../src/auth/key.ts'
import { loadConfig } from '../../../src/config/config.ts'
import { claimsOf, SECRET, sign } from '../../support/app.ts'
import { replace } from '../../support/replace.ts'
import { type Outcome, verifying } from '../../support/verify.ts'

/** A verifier with one key, which counts how often a signature is checked, at a time that the test sets. */
function setUp(t: Test, env: Record<string, string> = {}) {
  const { auth } = loadConfig({ NODE_ENV: 'test', BETTER_AUTH_SECRET: SECRET, ...env })
  let checks = 0
  const key = new Key('HS256', () => ++checks > 0)
  const start = Date.now()
  let now = start
  replace(t, Date, 'now', () => now)
  const verify = verifying(auth, () => key)
  return {
    key,
    checks: () => checks,
    verify: (token: string) => verify(token) as Outcome,
    token: (claims: object = {}) => sign({ alg: 'HS256' }, claimsOf('alice', claims)),
    seconds: Math.floor(start / 1000),
    at: (seconds: number) => {
      now = start + seconds * 1000
    }
  }
}

t.test('a repeated token costs no signature check, and each caller gets the same frozen user', async (t) => {
  const { verify, token, checks } = setUp(t)
  const one = token({ scope: 'tasks:read tasks:write' })
  const user = verify(one)
  for (let i = 0; i < 10; i++) t.equal(verify(one), user)
  t.equal(checks(), 1)
  t.ok(Object.isFrozen(user))
  t.ok(typeof user !== 'string' && Object.isFrozen(user.scope))
  verify(token({ other: true }))
  t.equal(checks(), 2, 'another token is another check')
})

t.test('a remembered token expires when it says', async (t) => {
  const { verify, token, at, checks } = setUp(t)
  const one = token()
  t.match(verify(one), { sub: 'alice' })
  at(604)
  t.match(verify(one), { sub: 'alice' }, 'within the tolerance of 5 s')
  t.equal(checks(), 1)
  at(606)
  t.equal(verify(one), 'token_expired')
})

t.test('a remembered token dies with its key', async (t) => {
  const { verify, token, key, checks } = setUp(t)
  const one = token()
  verify(one)
  key.withdraw()
  verify(one)
  t.equal(checks(), 2)
})

t.test('a refusal is not remembered', async (t) => {
  const { verify, token, at, seconds } = setUp(t)
  const early = token({ nbf: seconds + 60 })
  t.equal(verify(early), 'token_not_yet')
  at(60)
  t.match(verify(early), { sub: 'alice' })
})

t.test('the number of remembered tokens is bounded', async (t) => {
  const { verify, token, checks } = setUp(t)
  const first = token({ n: -1 })
  verify(first)
  for (let n = 0; n < 10_000; n++) verify(token({ n }))
  verify(first)
  t.equal(checks(), 10_002)
})

t.test('claims are required, of their type, and in bounds', async (t) => {
  const { verify, token, seconds } = setUp(t, { JWT_ISSUER: 'a,b', JWT_AUDIENCE: 'x,y' })
  const given = { iss: 'b', aud: ['z', 'y'] }
  t.match(verify(token(given)), { sub: 'alice', scope: null, expiresAt: seconds + 600 })
  t.match(verify(token({ ...given, aud: 'x' })), { sub: 'alice' })
  for (const [claims, code] of [
    [{ sub: undefined }, 'token_subject'],
    [{ sub: '' }, 'token_subject'],
    [{ sub: null }, 'token_subject'],
    [{ sub: 1 }, 'token_subject'],
    [{ sub: {} }, 'token_subject'],
    [{ sub: ['alice'] }, 'token_subject'],
    [{ sub: undefined, userId: 'alice', id: 'alice' }, 'token_subject'],
    [{ sub: 'a\nb' }, 'token_subject'],
    [{ sub: 'ä'.repeat(128) }, 'token_subject'],
    [{ exp: undefined }, 'token_claim'],
    [{ exp: null }, 'token_claim'],
    [{ iat: undefined }, 'token_claim'],
    [{ exp: `${seconds + 600}` }, 'token_claim'],
    [{ exp: 1e300 }, 'token_claim'],
    [{ exp: [seconds + 600] }, 'token_claim'],
    [{ iat: '0' }, 'token_claim'],
    [{ nbf: 'soon' }, 'token_claim'],
    [{ nbf: null }, 'token_claim'],
    [{ exp: seconds - 6, iat: seconds - 10 }, 'token_expired'],
    [{ iat: seconds + 7 }, 'token_not_yet'],
    [{ nbf: seconds + 7 }, 'token_not_yet'],
    [{ exp: seconds + 1801 }, 'token_lifetime'],
    [{ iss: undefined }, 'token_issuer'],
    [{ iss: 'c' }, 'token_issuer'],
    [{ iss: ['a'] }, 'token_issuer'],
    [{ iss: 'A' }, 'token_issuer'],
    [{ aud: undefined }, 'token_audience'],
    [{ aud: 'z' }, 'token_audience'],
    [{ aud: [] }, 'token_audience'],
    [{ aud: [['x']] }, 'token_audience'],
    [{ aud: { x: true } }, 'token_audience'],
    [{ scope: ['tasks:read'] }, 'token_claim'],
    [{ cnf: { jkt: 'x' } }, 'token_bound']
  ] as const) {
    t.equal(verify(token({ ...given, ...claims })), code, JSON.stringify(claims))
  }
  t.match(verify(token({ ...given, sub: 'ä'.repeat(127), exp: seconds + 1800, iat: seconds })), { scope: null })
  t.match(verify(token({ ...given, scope: ' a  b ' })), { scope: ['a', 'b'] })
})

t.test('JWT_REQUIRED_CLAIMS can ask for less, and then a token need not expire', async (t) => {
  const { verify, token, checks, at } = setUp(t, { JWT_REQUIRED_CLAIMS: 'sub' })
  const eternal = token({ exp: undefined, iat: undefined })
  t.match(verify(eternal), { sub: 'alice', expiresAt: null })
  at(1e9)
  t.match(verify(eternal), { sub: 'alice' })
  t.equal(checks(), 1)
})

t.test('the header names an accepted algorithm, the one of the key, and a known type', async (t) => {
  const { verify } = setUp(t)
  const of = (header: object) => verify(sign(header, claimsOf('alice')))
  for (const typ of [undefined, 'JWT', 'jwt']) t.match(of({ alg: 'HS256', typ }), { sub: 'alice' })
  for (const typ of ['at+jwt', 'JOSE', 1, null, ['JWT'], {}]) {
    t.equal(of({ alg: 'HS256', typ }), 'token_type', JSON.stringify(typ))
  }
  for (const alg of [undefined, null, '', 'none', 'hs256', 'HS512', ['HS256']]) t.equal(of({ alg }), 'token_algorithm')
  t.equal(of({ alg: 'HS256', crit: ['exp'] }), 'token_critical')
  const { auth } = loadConfig({ NODE_ENV: 'test', BETTER_AUTH_SECRET: SECRET })
  const other = verifying(auth, () => new Key('HS384', () => true))
  t.equal(other(sign({ alg: 'HS256' }, claimsOf('alice'))), 'token_algorithm')
})

t.test('a token whose type is empty is refused, not taken for one without a type (issue 16)', async (t) => {
  const { verify } = setUp(t)
  for (const typ of ['', ' ', 'JWT ', '\0', 'application/']) {
    t.equal(verify(sign({ alg: 'HS256', typ }, claimsOf('alice'))), 'token_type', JSON.stringify(typ))
  }
})

t.test('a key that the issuer must be asked for is waited for', async (t) => {
  const { key, token } = setUp(t)
  const { auth } = loadConfig({ NODE_ENV: 'test', BETTER_AUTH_SECRET: SECRET })
  t.match(await verifying(auth, async () => key)(token()), { sub: 'alice' })
  t.equal(await verifying(auth, async () => 'keys_unavailable' as const)(token()), 'keys_unavailable')
})
