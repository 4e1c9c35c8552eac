// What the public attack collections try on signatures and keys (Project Wycheproof's for JSON Web Signature and Key,
// and the lists of the JWT attack tools), made anew from keys of our own: no package has them.
import {
  constants,
  createHash,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  privateEncrypt,
  publicDecrypt,
  sign,
  verify
} from 'node:crypto'
import t from 'tap'
import { claimsOf, sign as hmac, SECRET } from '../../support/app.ts'
import { guard } from '../../support/guard.ts'
import { ALGORITHMS } from '../../support/issuer.ts'
import { type KeyPair, keyPair, part } from '../../support/key-pair.ts'
import { keyServer, publish } from '../../support/key-server.ts'

const signed = (input: string, signature: Buffer) => `${input}.${signature.toString('base64url')}`

const APP = 'https://app.example.com'
const claims = (other: object = {}) => claimsOf('alice', { iss: APP, aud: APP, ...other })

type Named = [name: string, bytes: Buffer]

const numberOf = (bytes: Buffer) => BigInt(`0x${bytes.toString('hex')}`)
/** The number in so many bytes, or in one more if it does not fit. */
function bytesOf(value: bigint, size: number): Buffer {
  const hex = value.toString(16)
  return Buffer.from(hex.padStart(2 * (hex.length > 2 * size ? size + 1 : size), '0'), 'hex')
}
const reversed = (bytes: Buffer) => Buffer.from(bytes.toReversed())

/** One copy for each byte, with that byte changed. */
const changed = (bytes: Buffer): Named[] =>
  Array.from(bytes, (byte, i) => [`byte ${i} changed`, Buffer.from(bytes.with(i, byte ^ 1))])

/** ASN.1 DER of up to 255 bytes. */
function der(tag: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from(body.length < 128 ? [tag, body.length] : [tag, 0x81, body.length]), body])
}

/** Other lengths, whatever the algorithm. */
const lengths = (good: Buffer): Named[] => [
  ['a zero before it', Buffer.concat([Buffer.alloc(1), good])],
  ['a zero after it', Buffer.concat([good, Buffer.alloc(1)])],
  ['the first byte missing', good.subarray(1)],
  ['the last byte missing', good.subarray(0, -1)],
  ['one half', good.subarray(0, good.length / 2)],
  ['twice', Buffer.concat([good, good])]
]

// The orders of the groups (FIPS 186-5, RFC 8032 section 5.1).
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
const P521_ORDER =
  0x01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n
const ED25519_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n

function ecdsa({ privateKey }: KeyPair, input: string, good: Buffer, order: bigint, hash: string): Named[] {
  const size = good.length / 2
  const r = numberOf(good.subarray(0, size))
  const s = numberOf(good.subarray(size))
  const edges = [0n, 1n, order - 1n, order, order + 1n, 2n ** BigInt(8 * size) - 1n]
  const pairs: [bigint, bigint][] = [
    ...[...edges, r].flatMap((one) => edges.map((other): [bigint, bigint] => [one, other])),
    ...edges.map((one): [bigint, bigint] => [one, s]),
    [s, r],
    [order - r, s],
    [order - r, order - s],
    [r + order, s],
    [r, s + order]
  ]
  const hashes = ['sha1', 'sha224', 'sha256', 'sha384', 'sha512'].filter((one) => one !== hash)
  return [
    ...pairs.map(
      ([one, other]): Named => [`(${one}, ${other})`, Buffer.concat([bytesOf(one, size), bytesOf(other, size)])]
    ),
    ['in wider halves', Buffer.concat([bytesOf(r, size + 1), bytesOf(s, size + 1)])],
    ['in DER', sign(hash, Buffer.from(input), privateKey)],
    ...hashes.map(
      (one): Named => [`with ${one}`, sign(one, Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' })]
    )
  ]
}

/** An RSA signature of a block that is encoded already. */
const raw = ({ privateKey: key }: KeyPair, encoded: Buffer) =>
  privateEncrypt({ key, padding: constants.RSA_NO_PADDING }, encoded)

const rsa = (own: KeyPair, good: Buffer, others: [hash: string, options: object][], input: string): Named[] => {
  const modulus = Buffer.from(String(own.jwk.n), 'base64url')
  const n = numberOf(modulus)
  const encoded = publicDecrypt({ key: createPublicKey(own.privateKey), padding: constants.RSA_NO_PADDING }, good)
  return [
    ...[0n, 1n, n - 1n, n, n + 1n, n + numberOf(good)].map((one): Named => [`${one}`, bytesOf(one, modulus.length)]),
    ...changed(encoded).map(([name, one]): Named => [`encoded: ${name}`, raw(own, one)]),
    ...others.map(
      ([hash, options]): Named => [
        `${hash}, ${JSON.stringify(options)}`,
        sign(hash, Buffer.from(input), { key: own.privateKey, ...options })
      ]
    )
  ]
}

const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING }

/** EMSA-PKCS1-v1_5 (RFC 8017 section 9.2) of a 2048-bit key: as it must be, and as it must not. */
function encodings(input: string): { right: Buffer; wrong: Named[] } {
  const digest = createHash('sha256').update(input).digest()
  const fill = (size: number) => Buffer.alloc(size, 0xff)
  const oid = (last: number) => der(6, Buffer.from('6086480165030402', 'hex'), Buffer.from([last]))
  const info = (algorithm: Buffer[], hash = digest) => der(0x30, der(0x30, ...algorithm), der(4, hash))
  const padded = (text: Buffer, start = [0, 1], byte = 0xff) =>
    Buffer.concat([Buffer.from(start), Buffer.alloc(253 - text.length, byte), Buffer.alloc(1), text])
  const SHA256 = [oid(1), der(5)]
  const right = info(SHA256)
  const short = Buffer.concat([Buffer.from([0, 1]), fill(8), Buffer.alloc(1)])
  const wrong: Named[] = [
    ['no NULL', padded(info([oid(1)]))],
    ['the digest alone', padded(digest)],
    ['no digest', padded(info(SHA256, Buffer.alloc(0)))],
    ['a digest too short', padded(info(SHA256, digest.subarray(1)))],
    ['a digest too long', padded(info(SHA256, Buffer.concat([digest, Buffer.alloc(1)])))],
    ...[2, 3, 6, 8].map((last): Named => [`another OID, ${last}`, padded(info([oid(last), der(5)]))]),
    ['the type of encryption', padded(right, [0, 2])],
    ['the type 0', padded(right, [0, 0], 0)],
    ['other padding', padded(right, [0, 1], 0xfe)],
    ['no zero', Buffer.concat([Buffer.from([0, 1]), fill(254 - right.length), right])],
    // CVE-2006-4339 and its kin.
    ['garbage at the end', Buffer.concat([short, right, fill(256 - short.length - right.length)])],
    ['garbage for NULL', padded(info([oid(1), der(4, fill(180))]))],
    ['garbage beside NULL', padded(info([...SHA256, der(4, fill(180))]))],
    ['garbage in the sequence', padded(der(0x30, der(0x30, ...SHA256), der(4, digest), der(4, fill(100))))],
    ['a long length', padded(Buffer.concat([Buffer.from([0x30, 0x81, right.length - 2]), right.subarray(2)]))],
    ['no length', padded(Buffer.concat([Buffer.from([0x30, 0x80]), right.subarray(2), Buffer.alloc(2)]))]
  ]
  return { right: padded(right), wrong }
}

function eddsa({ privateKey }: KeyPair, input: string, good: Buffer): Named[] {
  const [r, s] = [good.subarray(0, 32), good.subarray(32)]
  const scalar = numberOf(reversed(s))
  // RFC 8032 section 5.1.7: S is less than the order, or others could write the same signature in another way.
  const multiples = Array.from({ length: 14 }, (_, i) => scalar + BigInt(i + 1) * ED25519_ORDER)
  const identity = Buffer.from(Buffer.alloc(32).with(0, 1))
  return [
    ...multiples.map((one): Named => [`S is ${one}`, Buffer.concat([r, reversed(bytesOf(one, 32))])]),
    ['S is 0', Buffer.concat([r, Buffer.alloc(32)])],
    ['R is neutral', Buffer.concat([identity, s])],
    ['R is neutral, S is 0', Buffer.concat([identity, Buffer.alloc(32)])],
    ['in another order', Buffer.concat([s, r])],
    ['of another byte order', Buffer.concat([reversed(r), reversed(s)])],
    ['of the digest', sign(null, createHash('sha512').update(input).digest(), privateKey)]
  ]
}

/** Signatures by the right key in a wrong format, and changed copies of good ones. */
function alterations(own: KeyPair, input: string, good: Buffer): Named[] {
  switch (own.algorithm) {
    case 'EdDSA':
      return eddsa(own, input, good)
    case 'ES256':
      return ecdsa(own, input, good, P256_ORDER, 'sha256')
    case 'ES512':
      return ecdsa(own, input, good, P521_ORDER, 'sha512')
    case 'PS256': {
      // RFC 7518 section 3.5: the salt is as long as the digest.
      const salts = [0, 20, 31, 33, 64, 222].map((saltLength): [string, object] => ['sha256', { ...PSS, saltLength }])
      const hashes = ['sha1', 'sha384', 'sha512'].map((one): [string, object] => [one, { ...PSS, saltLength: 32 }])
      return rsa(own, good, [...salts, ...hashes, ['sha256', {}]], input)
    }
    case 'RS256': {
      const hashes = ['md5', 'sha1', 'sha384', 'sha512'].map((one): [string, object] => [one, {}])
      const { wrong } = encodings(input)
      return [
        ...rsa(own, good, [...hashes, ['sha256', { ...PSS, saltLength: 32 }]], input),
        ...wrong.map(([name, one]): Named => [name, raw(own, one)])
      ]
    }
  }
}

t.test('signatures in another form, of other numbers or of another hash are refused', async (t) => {
  const pairs = ALGORITHMS.map((algorithm) => keyPair(algorithm, algorithm))
  const { url } = await keyServer(t, publish(pairs.map(({ jwk }) => jwk)))
  const { call, handled } = await guard(t, { BETTER_AUTH_URL: APP, JWKS_URL: url })
  for (const own of pairs) {
    const good = own.token(claims())
    const input = good.slice(0, good.lastIndexOf('.'))
    const signature = Buffer.from(good.slice(input.length + 1), 'base64url')
    const cases = [...lengths(signature), ...changed(signature), ...alterations(own, input, signature)]
    const answers = await Promise.all(cases.map(([, one]) => call(signed(input, one))))
    const odd = answers.flatMap(({ code }, i) => (code === 'token_signature' ? [] : [[code, cases[i]?.[0]]]))
    t.strictSame(odd, [], `${own.algorithm}: ${cases.length} signatures`)
    t.match(await call(good), { status: 200 }, 'and the signature itself is right')
  }
  t.equal(handled(), pairs.length)
})

t.test('an RSA signature that lacks its leading zero is refused (RFC 8017 section 8.1.2)', async (t) => {
  const pairs = (['PS256', 'RS256'] as const).map((algorithm) => keyPair(algorithm, algorithm))
  const { url } = await keyServer(t, publish(pairs.map(({ jwk }) => jwk)))
  const { call, handled } = await guard(t, { BETTER_AUTH_URL: APP, JWKS_URL: url })
  for (const own of pairs) {
    let token = ''
    // One of 256 begins with it.
    for (let jti = 0; !/\.A[A-P][^.]*$/.test(token); jti++) token = own.token(claims({ jti }))
    const at = token.lastIndexOf('.')
    const signature = Buffer.from(token.slice(at + 1), 'base64url')
    t.equal(signature[0], 0)
    t.match(await call(signed(token.slice(0, at), signature.subarray(1))), { code: 'token_signature' }, own.algorithm)
    t.match(await call(token), { status: 200 })
  }
  t.equal(handled(), pairs.length)
})

t.test('of the encodings above, the right one is right', async (t) => {
  const own = keyPair('RS256')
  const { url } = await keyServer(t, publish([own.jwk]))
  const { call } = await guard(t, { BETTER_AUTH_URL: APP, JWKS_URL: url })
  const input = `${part({ alg: 'RS256', kid: own.kid })}.${part(claims())}`
  t.match(await call(signed(input, raw(own, encodings(input).right))), { status: 200 })
})

t.test('the other signature that each ECDSA signature stands for is accepted', async (t) => {
  // RFC 7518 section 3.4 prefers neither of s and n - s, signers choose at random, and nothing here relies on a token
  // being written in one way only: the verified ones are remembered whole.
  const pairs = [keyPair('ES256'), keyPair('ES512')]
  const { url } = await keyServer(t, publish(pairs.map(({ jwk }) => jwk)))
  const { call } = await guard(t, { BETTER_AUTH_URL: APP, JWKS_URL: url })
  for (const own of pairs) {
    const good = own.token(claims())
    const input = good.slice(0, good.lastIndexOf('.'))
    const signature = Buffer.from(good.slice(input.length + 1), 'base64url')
    const size = signature.length / 2
    const order = own.algorithm === 'ES256' ? P256_ORDER : P521_ORDER
    const other = bytesOf(order - numberOf(signature.subarray(size)), size)
    const answer = await call(signed(input, Buffer.concat([signature.subarray(0, size), other])))
    t.match(answer, { status: 200, sub: 'alice' }, own.algorithm)
  }
})

const HASHES = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' }

for (const [alg, hash] of Object.entries(HASHES)) {
  t.test(`${alg}: codes of another length, text, hash or secret are refused`, async (t) => {
    const { call, handled } = await guard(t, { BETTER_AUTH_SECRET: SECRET, ALGORITHM: alg })
    const payload = part(claims())
    const input = `${part({ alg, typ: 'JWT' })}.${payload}`
    const mac = (text: string, secret: string | Buffer = SECRET, by = hash) =>
      createHmac(by, secret).update(text).digest()
    const good = mac(input)
    const decoded = input.split('.').map((one) => Buffer.from(one, 'base64url').toString())
    const secrets = [
      ...['', ' ', 'secret', 'null', 'undefined', SECRET.toUpperCase(), ` ${SECRET}`, `${SECRET}\n`, SECRET.slice(1)],
      Buffer.from(SECRET).toString('base64'),
      Buffer.from(SECRET, 'base64'),
      createHash('sha256').update(SECRET).digest()
    ]
    const cases: Named[] = [
      ...lengths(good),
      ...changed(good),
      // RFC 2104 section 5 lets codes be truncated, RFC 7518 section 3.2 does not.
      ...[1, 4, 16, good.length - 1].map((size): Named => [`${size} bytes`, good.subarray(0, size)]),
      ['all zero', Buffer.alloc(good.length)],
      ['in hexadecimal', Buffer.from(good.toString('hex'))],
      ['of what is encoded', mac(decoded.join('.'))],
      ['of the header', mac(input.slice(0, input.indexOf('.')))],
      ['of the payload', mac(payload)],
      ['of nothing', mac('')],
      ['no HMAC', createHash(hash).update(SECRET).update(input).digest()],
      ...['sha1', 'sha224', ...Object.values(HASHES)]
        .filter((one) => one !== hash)
        .map((one): Named => [one, mac(input, SECRET, one)]),
      ...secrets.map((secret): Named => [`the secret ${secret}`, mac(input, secret)])
    ]
    for (const [name, one] of cases)
      t.match(await call(signed(input, one)), { status: 401, code: 'token_signature' }, name)

    const forge = async (header: object, code: string, secret: string | Buffer) => {
      const text = `${part({ typ: 'JWT', ...header })}.${payload}`
      t.match(await call(signed(text, mac(text, secret))), { status: 401, code }, JSON.stringify(header))
    }
    const k = Buffer.from('the secret of the forger, which is long enough')
    await forge({ alg, jwk: { kty: 'oct', k: k.toString('base64url') } }, 'token_signature', k)
    for (const kid of ['/dev/null', '../../dev/null', "' UNION SELECT ''", 'constructor']) {
      await forge({ alg, kid }, 'token_signature', '')
    }
    const others = ['none', 'None', '', alg.toLowerCase(), `${alg} `, 'HS1', ...Object.keys(HASHES), ...ALGORITHMS]
    for (const other of others.filter((one) => one !== alg)) await forge({ alg: other }, 'token_algorithm', SECRET)

    t.match(await call(signed(input, good)), { status: 200 })
    t.equal(handled(), 1)
  })
}

// The points of Ed25519 whose order divides 8, in each of their encodings (RFC 8032 section 5.1.3, RFC 7748 section 7).
// With such a key, S = 0 and an R from this list are a signature of all or many texts, which takes no private key.
const SMALL_ORDER = [
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '0000000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'
].flatMap((hex) => {
  const point = Buffer.from(hex, 'hex')
  return [point, Buffer.from(point.with(31, Number(point[31]) | 0x80))]
})

/**
 * A token that such a key verifies, found without a private key. A newer OpenSSL verifies none, and any token will do.
 */
function forgedWith(jwk: JsonWebKey, kid: string): string {
  const key = createPublicKey({ key: jwk, format: 'jwk' })
  const inputs = Array.from({ length: 16 }, (_, n) => `${part({ alg: 'EdDSA', kid })}.${part(claims({ n }))}`)
  for (const input of inputs) {
    for (const point of SMALL_ORDER) {
      const signature = Buffer.concat([point, Buffer.alloc(32)])
      if (verify(null, Buffer.from(input), key, signature)) return signed(input, signature)
    }
  }
  return signed(String(inputs[0]), Buffer.alloc(64))
}

/** A token that every RSA key with the exponent 1 verifies, because the encoded digest is its own signature. */
function forgedForExponent1(kid: string): string {
  const input = `${part({ alg: 'RS256', kid })}.${part(claims())}`
  return signed(input, encodings(input).right)
}

t.test('tokens of published keys that must not be used are refused', async (t) => {
  const [good, second] = [keyPair('EdDSA', 'good'), keyPair('EdDSA', 'good')]
  const [rs256, es256] = [keyPair('RS256'), keyPair('ES256')]
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const k = Buffer.from(SECRET).toString('base64url')
  const { use, ...anyUse } = es256.jwk
  type Case = [kid: string, jwk: object, token: (kid: string) => string, code?: string]
  const byRs256 = (kid: string) => rs256.token(claims(), { kid })
  const byEs256 = (kid: string) => es256.token(claims(), { kid })
  const cases: Case[] = [
    ['a secret', { kty: 'oct', k }, (kid) => hmac({ alg: 'HS256', kid }, claims()), 'token_algorithm'],
    ['a secret, as RS256', { kty: 'oct', alg: 'RS256', k }, byRs256],
    ['a private key', es256.privateKey.export({ format: 'jwk' }), byEs256],
    ['for encryption', { ...rs256.jwk, use: 'enc' }, byRs256],
    ['for RSA-OAEP', { ...rs256.jwk, alg: 'RSA-OAEP' }, byRs256],
    ['for key agreement', { ...anyUse, key_ops: ['deriveKey'] }, byEs256],
    ['ES512 on P-256', { ...es256.jwk, alg: 'ES512' }, byEs256],
    ['on P-384, with a point of P-256', { ...es256.jwk, crv: 'P-384' }, byEs256],
    ['RSA, with a point', { ...es256.jwk, kty: 'RSA' }, byEs256],
    ['off the curve', { ...es256.jwk, y: es256.jwk.x }, byEs256],
    ['at infinity', { ...es256.jwk, x: 'AA', y: 'AA' }, byEs256],
    [
      'RSA with 1024 bits',
      weak.publicKey.export({ format: 'jwk' }),
      (kid) => {
        const input = `${part({ alg: 'RS256', kid })}.${part(claims())}`
        return signed(input, sign('sha256', Buffer.from(input), weak.privateKey))
      }
    ],
    ['RSA with the exponent 1', { ...rs256.jwk, e: 'AQ' }, forgedForExponent1],
    ...SMALL_ORDER.map((point): Case => {
      const jwk = { kty: 'OKP', crv: 'Ed25519', x: point.toString('base64url') }
      return [`Ed25519, ${point.toString('hex')}`, jwk, (kid) => forgedWith(jwk, kid)]
    })
  ]
  const published = [good.jwk, second.jwk, ...cases.map(([kid, jwk]) => ({ ...jwk, kid }))]
  const { url } = await keyServer(t, publish(published))
  const { call, handled } = await guard(t, { BETTER_AUTH_URL: APP, JWKS_URL: url })
  t.match(await call(second.token(claims())), { code: 'token_signature' }, 'of keys with one kid the first is used')
  // All at once, since they wait for the same fetch.
  await Promise.all(
    cases.map(async ([kid, , token, code = 'token_key']) => t.match(await call(token(kid)), { status: 401, code }, kid))
  )
  t.match(await call(good.token(claims())), { status: 200 })
  t.equal(handled(), 1)
})
