import { createHmac, createPublicKey } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { claimsOf, SECRET, sign } from '../../support/app.ts'
import { fixtureKeys, fixtures } from '../../support/fixtures.ts'
import { guard } from '../../support/guard.ts'
import { ALGORITHMS, type Algorithm } from '../../support/issuer.ts'
import { type KeyPair, keyPair, part, signatureOf } from '../../support/key-pair.ts'
import { keyServer, publish } from '../../support/key-server.ts'

const APP = 'https://app.example.com'
const HASHES = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' }

// The mode of published keys fails at the key. The mode of a secret fails earlier, at the algorithm.
const WITH_SECRET: Record<string, string> = {
  token_key: 'token_algorithm',
  token_subject: 'token_algorithm',
  token_algorithm: 'token_signature'
}

t.test(
  'the examples of RFC 7515, RFC 7516, RFC 7519, RFC 7520 and RFC 8037 are refused, with their keys published',
  async (t) => {
    const { url } = await keyServer(t, publish(fixtureKeys))
    const keys = await guard(t, { BETTER_AUTH_URL: APP, JWKS_URL: url })
    const secret = await guard(t, { BETTER_AUTH_SECRET: SECRET })
    for (const [name, token, code] of fixtures) {
      t.match(await keys.call(token), { status: 401, code }, name)
      t.match(
        await secret.call(token),
        { status: 401, code: WITH_SECRET[code] ?? code },
        `${name}, with a shared secret`
      )
    }
    t.equal(keys.handled() + secret.handled(), 0)
  }
)

const ours: KeyPair[] = ALGORITHMS.map((algorithm) => keyPair(algorithm, algorithm))
const theirs: Record<string, KeyPair> = Object.fromEntries(ALGORITHMS.map((one) => [one, keyPair(one, one)]))
const foreign = (algorithm: Algorithm) => theirs[algorithm] as KeyPair

const claims = (other: object = {}) => claimsOf('alice', { iss: APP, aud: APP, ...other })

/** A signer with a key pair or with a secret. */
type Signer = Pick<KeyPair, 'jwk' | 'token'> & { algorithm: string }

const withSecret = (secret: string): Signer[] =>
  Object.entries(HASHES).map(([alg, hash]) => ({
    algorithm: alg,
    jwk: { kty: 'oct', k: Buffer.from(secret).toString('base64url') },
    token: (claims, header = {}) => sign({ alg, typ: 'JWT', ...header }, claims, secret, hash)
  }))

/** Members that would make a verifier that heeds them take the key of the forger. */
function invitations({ jwk }: Signer): object[] {
  const der = jwk.k ?? createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'der' })
  const x5c = [Buffer.from(der).toString('base64')]
  const url = 'http://127.0.0.1:1/jwks'
  return [{ jwk }, { jku: url }, { x5u: url }, { x5c }, { x5t: 'AAAA' }, { jwk, jku: url, x5c }]
}

t.test('known attacks are refused', async (t) => {
  const { url } = await keyServer(t, publish(ours.map(({ jwk }) => jwk)))
  const { call, handled } = await guard(t, { BETTER_AUTH_URL: APP, JWKS_URL: url })
  const refuse = async (token: string, code: string, name: string) =>
    t.match(await call(token), { status: 401, code }, name)

  for (const own of ours) {
    const { algorithm, kid, jwk, privateKey } = own
    const good = own.token(claims())
    const [header = '', payload = '', signature = ''] = good.split('.')
    const forger = foreign(algorithm)

    for (const alg of ['none', 'None', 'NONE', 'nOnE']) {
      for (const end of ['', signature]) {
        const code = end === '' ? 'token_malformed' : 'token_algorithm'
        await refuse(`${part({ alg, typ: 'JWT', kid })}.${payload}.${end}`, code, `${algorithm}: ${alg}`)
      }
    }
    await refuse(`${header}.${payload}`, 'token_malformed', `${algorithm}: no signature`)

    // CVE-2015-9235 and its kin: the public key, in all its forms, as an HMAC secret.
    const key = createPublicKey(privateKey)
    const forms = [
      key.export({ type: 'spki', format: 'pem' }).toString(),
      key.export({ type: 'spki', format: 'pem' }).toString().trim(),
      key.export({ type: 'spki', format: 'der' }),
      ...(key.asymmetricKeyType === 'rsa' ? [key.export({ type: 'pkcs1', format: 'pem' })] : []),
      Buffer.from(String(jwk.n ?? jwk.x), 'base64url'),
      JSON.stringify(jwk),
      JSON.stringify({ keys: [jwk] }),
      ''
    ]
    for (const [alg, hash] of Object.entries(HASHES)) {
      for (const form of forms) {
        const input = `${part({ alg, typ: 'JWT', kid })}.${payload}`
        const mac = createHmac(hash, form).update(input).digest('base64url')
        await refuse(`${input}.${mac}`, 'token_algorithm', `${algorithm}: ${alg} with the public key`)
      }
    }

    await refuse(forger.token(claims()), 'token_signature', `${algorithm}: another key under our kid`)
    for (const members of invitations(forger)) {
      await refuse(forger.token(claims(), members), 'token_signature', `${algorithm}: ${Object.keys(members)}`)
    }
    t.match(await call(own.token(claims(), { jku: 'http://127.0.0.1:1', jwk: forger.jwk })), { status: 200 }, 'ignored')
    await refuse(own.token(claims(), { crit: ['b64'], b64: false }), 'token_critical', `${algorithm}: crit`)
    await refuse(own.token(claims(), { crit: [] }), 'token_critical', `${algorithm}: empty crit`)

    for (const other of ALGORITHMS.filter((one) => one !== algorithm)) {
      const input = `${part({ alg: other, typ: 'JWT', kid })}.${payload}`
      const made = `${input}.${signatureOf(other, foreign(other).privateKey, input).toString('base64url')}`
      await refuse(made, 'token_algorithm', `${algorithm}: named ${other}`)
    }
    await refuse(own.token(claims(), { kid: 1 }), 'token_malformed', `${algorithm}: kid of another type`)
    await refuse(own.token(claims(), { kid: 'k'.repeat(256) }), 'token_malformed', `${algorithm}: long kid`)

    // CVE-2022-21449: a signature of zeros.
    const zeros = Buffer.alloc(Buffer.from(signature, 'base64url').length).toString('base64url')
    await refuse(`${header}.${payload}.${zeros}`, 'token_signature', `${algorithm}: zeros`)
    await refuse(`${header}.${payload}.AA`, 'token_signature', `${algorithm}: short`)
    await refuse(`${header}.${payload}.${'A'.repeat(4000)}`, 'token_signature', `${algorithm}: long`)
  }
  // All at once, since they wait for the same fetch.
  const kids = ['../../../../dev/null', "' OR 1=1 --", '/dev/null\0', '__proto__', 'constructor', '']
  const strays = await Promise.all(ours.flatMap((own) => kids.map((kid) => call(own.token(claims(), { kid })))))
  t.ok(strays.every(({ status, code }) => status === 401 && code === 'token_key'))
  t.equal(handled(), ALGORITHMS.length, 'only the tokens that are ours')
})

t.test('what is not JSON in strict UTF-8, as a canonical JWS, is refused', async (t) => {
  const { call } = await guard(t, { BETTER_AUTH_SECRET: SECRET })
  const header = { alg: 'HS256' }
  const good = sign(header, claims())
  const json = JSON.stringify(claims())
  t.match(await call(good), { status: 200 })
  const latin1 = (text: string) => Buffer.from(text, 'latin1')
  const hs256 = (head: string | Buffer, body: string | Buffer) => {
    const input = `${Buffer.from(head).toString('base64url')}.${Buffer.from(body).toString('base64url')}`
    return `${input}.${createHmac('sha256', SECRET).update(input).digest('base64url')}`
  }
  const HEAD = JSON.stringify(header)
  t.match(await call(hs256(HEAD, json)), { status: 200 })
  for (const token of [
    hs256(HEAD, '[]'),
    hs256(HEAD, 'null'),
    hs256(HEAD, '"alice"'),
    hs256(HEAD, ''),
    hs256(HEAD, json.slice(1)),
    hs256(HEAD, `\ufeff${json}`),
    hs256(HEAD, latin1(json.replace('alice', 'al\xefce'))),
    hs256('[]', json),
    hs256('null', json),
    hs256('', json),
    hs256(latin1('{"alg":"HS256","x":"\xff"}'), json),
    `${good}=`,
    `${good}.`,
    `.${good}`,
    good.replace('.', '..'),
    good.replaceAll('.', ''),
    `${good}.${good}`,
    ...[' ', '\t', '#', '?', '=', '+', '%2E'].flatMap((one) => [
      good.replace('.', `${one}.`),
      good.replace('.', `.${one}`),
      good.replace(/\.(?=[^.]+$)/, `.${one}`)
    ])
  ]) {
    t.match(await call(token), { status: 401 }, token)
  }
  // The last character of a segment of 32 bytes has two bits that do not count.
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet.indexOf(good.at(-1) ?? '')
  t.match(await call(good.slice(0, -1) + alphabet[last + 1]), { code: 'token_malformed' }, 'spare bits')
  // So has that of a segment whose bytes are one or two more than a multiple of three, under a signature that is right.
  const spare = (segment: string) => segment.slice(0, -1) + alphabet[alphabet.indexOf(segment.at(-1) ?? '') + 1]
  const pad = (text: string) => text.padEnd(3 * Math.ceil(text.length / 3) + 1)
  const [head, body] = [pad(HEAD), pad(json)].map((text) => Buffer.from(text).toString('base64url')) as [string, string]
  const signed = (input: string) => `${input}.${createHmac('sha256', SECRET).update(input).digest('base64url')}`
  t.match(await call(signed(`${head}.${body}`)), { status: 200 })
  for (const input of [`${spare(head)}.${body}`, `${head}.${spare(body)}`]) {
    t.match(await call(signed(input)), { code: 'token_malformed' }, 'spare bits of what is signed')
  }
  t.match(await call(sign(header, claims({ pad: 'x'.repeat(8192) }))), { code: 'token_too_long' })
})

t.test('what could be read in two ways is read in one', async (t) => {
  const { call } = await guard(t, { BETTER_AUTH_SECRET: SECRET })
  const json = JSON.stringify(claims()).slice(1, -1)
  const header = '{"alg":"HS256"}'
  // The last of two members with one name counts (RFC 7515 section 4, RFC 7519 section 4).
  t.match(await call(sign('{"alg":"none","alg":"HS256"}', `{${json}}`)), { status: 200 })
  t.match(await call(sign('{"alg":"HS256","alg":"none"}', `{${json}}`)), { code: 'token_algorithm' })
  t.match(await call(sign(header, `{${json},"sub":"bob"}`)), { status: 200, sub: 'bob' })
  t.match(await call(sign(header, `{${json},"sub":null}`)), { code: 'token_subject' })
  t.match(await call(sign(' {\n"\\u0061lg" : "HS256"}\t', `{${json}}`)), { status: 200 }, 'other ways to write JSON')
  // Nothing is inherited.
  t.match(await call(sign('{"__proto__":{"alg":"HS256"}}', `{${json}}`)), { code: 'token_algorithm' })
  for (const name of ['__proto__', 'prototype', 'constructor']) {
    const { sub, ...others } = claims()
    const nested = JSON.stringify({ ...others, nested: { sub } }).replace('nested', name)
    t.match(await call(sign(header, nested)), { code: 'token_subject' }, name)
  }
})

/** Mutations of good tokens of every kind. Some are signed by the issuer's key, and must still not pass. */
function mutant(own: Signer, forger: Signer): fc.Arbitrary<string> {
  const good = own.token(claims())
  const parts = good.split('.')
  const other = ours.find(({ algorithm }) => algorithm !== own.algorithm) as KeyPair
  const character = fc.constantFrom(...'ABCxyz0129-_.=~+/')
  const at = fc.nat({ max: good.length - 1 })
  const segment = fc.nat({ max: 2 })
  const wrong = fc.oneof(
    fc.constant(null),
    fc.boolean(),
    fc.constantFrom('', ' ', '0', '9999999999', 'NaN'),
    fc.array(fc.oneof(fc.string(), fc.integer()), { maxLength: 3 }),
    fc.dictionary(fc.string({ maxLength: 4 }), fc.integer(), { maxKeys: 2 })
  )
  const badClaims = fc.oneof(
    fc
      .tuple(fc.constantFrom('sub', 'iss', 'aud', 'exp', 'iat', 'nbf', 'scope', 'cnf'), wrong)
      // These are what the claims may be.
      .filter(
        ([name, value]) => !(name === 'nbf' && value === undefined) && !(name === 'scope' && typeof value === 'string')
      )
      .filter(([name, value]) => !(name === 'sub' && typeof value === 'string' && value !== ''))
      .map(([name, value]) => ({ [name]: value })),
    fc.constantFrom('sub', 'iss', 'aud', 'exp', 'iat').map((name) => ({ [name]: undefined })),
    fc.integer({ max: 1_700_000_000 }).map((exp) => ({ exp })),
    fc.integer({ min: 5_000_000_000, max: 8_000_000_000_000 }).map((nbf) => ({ nbf })),
    fc.integer({ min: 5_000_000_000, max: 8_000_000_000_000 }).map((iat) => ({ iat })),
    fc.webUrl().map((iss) => ({ iss })),
    fc.array(fc.webUrl(), { maxLength: 4 }).map((aud) => ({ aud })),
    fc.constant({ iss: [APP] }),
    fc.string({ minLength: 256, maxLength: 300 }).map((sub) => ({ sub })),
    fc.constantFrom('\0', '\n', '\u007f', '\ud800').map((bad) => ({ sub: `alice${bad}` }))
  )
  const header = fc.oneof(
    fc
      .constantFrom('none', 'HS256', 'HS512', 'ES384', 'RS512', 'ed25519', '')
      .filter((alg) => alg !== own.algorithm)
      .map((alg) => ({ alg })),
    wrong.map((alg) => ({ alg })),
    fc.constantFrom('at+jwt', 'logout+jwt', 'better-auth.session-cache+jwt', 'JOSE', '', ' ').map((typ) => ({ typ })),
    wrong.map((typ) => ({ typ })),
    wrong.map((crit) => ({ crit })),
    fc
      .oneof(fc.string({ maxLength: 300 }), wrong)
      // A secret has no name, so any that could be one will do.
      .filter((kid) => !(own.algorithm in HASHES && typeof kid === 'string' && kid.length < 256))
      .map((kid) => ({ kid }))
  )
  return fc
    .oneof(
      fc.tuple(at, character).map(([i, one]) => good.slice(0, i) + one + good.slice(i + 1)),
      fc.tuple(at, character).map(([i, one]) => good.slice(0, i) + one + good.slice(i)),
      fc.tuple(at, fc.integer({ min: 1, max: 40 })).map(([i, count]) => good.slice(0, i) + good.slice(i + count)),
      at.map((i) => good.slice(0, i)),
      at.map((i) => good.slice(i + 1)),
      fc.tuple(segment, segment).map(([i, j]) => parts.with(i, parts[j] ?? '').join('.')),
      fc.tuple(segment, segment).map(([i, j]) => parts.with(i, other.token(claims()).split('.')[j] ?? '').join('.')),
      fc
        .tuple(segment, fc.uint8Array({ maxLength: 80 }))
        .map(([i, bytes]) => parts.with(i, Buffer.from(bytes).toString('base64url')).join('.')),
      fc.json({ maxDepth: 2 }).map((json) => parts.with(1, part(json)).join('.')),
      fc
        .string({ minLength: 1, maxLength: 40 })
        .map((sub) => parts.with(1, part(claims({ sub, mutant: true }))).join('.')),
      fc.constantFrom(...invitations(forger)).map((members) => forger.token(claims(), members)),
      badClaims.map((bad) => own.token(claims(bad))),
      fc.json({ maxDepth: 2 }).map((json) => own.token(json)),
      header.map((bad) => own.token(claims(), bad)),
      header.map((bad) => forger.token(claims(), bad)),
      fc.string({ maxLength: 200 }).map((text) => Buffer.from(text).toString('base64url'))
    )
    .filter((token) => token !== good)
}

const SEED = 20_261_122
const MUTANTS = 1600

t.test('a corpus of 12,800 mutated tokens over every algorithm is refused, and the handler never runs', async (t) => {
  const forgers: Signer[] = [...Object.values(theirs), ...withSecret('the secret of the forger, which is long enough')]
  // The tokens are made before the services start, because this takes longer than the first fetch may take.
  const corpora = [...ours, ...withSecret(SECRET)].map((own) => {
    const forger = forgers.find(({ algorithm }) => algorithm === own.algorithm) as Signer
    return { own, tokens: fc.sample(mutant(own, forger), { numRuns: MUTANTS, seed: SEED }) }
  })
  const { url } = await keyServer(t, publish(ours.map(({ jwk }) => jwk)))
  // All tokens come at once from one address, and each must be judged, so REQUESTS_MAX lets all of them wait for the
  // keys.
  const keys = await guard(t, { BETTER_AUTH_URL: APP, JWKS_URL: url, REQUESTS_MAX: '10000' })
  const secret = { BETTER_AUTH_SECRET: SECRET, JWT_ISSUER: APP, JWT_AUDIENCE: APP }
  for (const { own, tokens } of corpora) {
    const { algorithm } = own
    const { call, handled } = algorithm in HASHES ? await guard(t, { ...secret, ALGORITHM: algorithm }) : keys
    const before = handled()
    const calls: ReturnType<typeof call>[] = []
    for (const token of tokens) {
      calls.push(call(token))
      // Tokens with an unknown kid wait for one fetch, which needs turns of the event loop.
      if (calls.length % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    const answers = await Promise.all(calls)
    const odd = answers.flatMap(({ status }, i) => (status === 401 ? [] : [[status, tokens[i]]]))
    t.strictSame(odd, [], `${algorithm}, seed ${SEED}`)
    t.ok(new Set(tokens).size > MUTANTS / 2, 'and they differ')
    t.ok(answers.some(({ code }) => code === 'token_signature'))
    t.equal(handled(), before)
    t.match(await call(own.token(claims())), { status: 200 }, 'and what they were made from is good')
  }
})
