import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { readKeySet } from '../../../src/auth/jwk.ts'
import { ALGORITHMS } from '../../support/issuer.ts'
import { keyPair } from '../../support/key-pair.ts'

const read = (keys: unknown[], algorithms: readonly string[] = ALGORITHMS) =>
  readKeySet(JSON.stringify({ keys }), algorithms)

const pairs = ALGORITHMS.map((algorithm) => keyPair(algorithm, algorithm))
const jwkOf = (algorithm: string) => pairs.find((one) => one.algorithm === algorithm)?.jwk ?? {}
const EdDSA = jwkOf('EdDSA')
const RS256 = jwkOf('RS256')

t.test('a key of every algorithm is read', async (t) => {
  const { keys, ignored } = await read(pairs.map(({ jwk }) => jwk))
  t.strictSame(
    keys.map(({ kid, algorithm }) => [kid, algorithm]),
    ALGORITHMS.map((one) => [one, one])
  )
  t.strictSame(ignored, [])
})

t.test('a key that does not say its algorithm has that of its type and curve', async (t) => {
  const { keys } = await read(pairs.map(({ jwk }) => ({ ...jwk, alg: undefined, use: undefined })))
  t.strictSame(
    keys.map(({ algorithm }) => algorithm),
    ['EdDSA', 'ES256', 'ES512', 'RS256', 'RS256']
  )
  t.match(
    (await read([{ ...RS256, alg: undefined }], ['PS256'])).keys,
    [{ algorithm: 'PS256' }],
    'the one that is accepted'
  )
})

t.test('a key for another use than verifying is ignored', async (t) => {
  t.match((await read([{ ...EdDSA, use: undefined, key_ops: ['verify'] }])).keys, [{ kid: 'EdDSA' }])
  for (const [members, reason] of [
    [{ use: 'enc' }, 'its use is not sig'],
    [{ use: null }, 'its use is not sig'],
    [{ key_ops: ['sign'] }, 'its key_ops forbid it'],
    [{ key_ops: [] }, 'its key_ops forbid it'],
    [{ key_ops: 'verify' }, 'its key_ops forbid it'],
    [{ alg: 'RS256' }, 'no accepted algorithm is for it'],
    [{ alg: 'Ed448' }, 'no accepted algorithm is for it'],
    [{ alg: null }, 'no accepted algorithm is for it']
  ] as const) {
    t.strictSame(
      await read([{ ...EdDSA, ...members }]),
      { keys: [], ignored: [{ kid: 'EdDSA', reason }] },
      JSON.stringify(members)
    )
  }
})

t.test('a key whose algorithm is not accepted is ignored', async (t) => {
  const { keys, ignored } = await read(
    pairs.map(({ jwk }) => jwk),
    ['ES256']
  )
  t.match(keys, [{ kid: 'ES256' }])
  t.strictSame(new Set(ignored.map(({ reason }) => reason)), new Set(['no accepted algorithm is for it']))
})

t.test('curves and types that nobody asked for are ignored', async (t) => {
  const of = (type: 'ed448' | 'x25519') => generateKeyPairSync(type as 'ed448').publicKey.export({ format: 'jwk' })
  const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve }).publicKey.export({ format: 'jwk' })
  for (const jwk of [of('ed448'), of('x25519'), ec('secp256k1'), ec('P-384'), { kty: 'EC' }, {}]) {
    t.match(await read([jwk]), { keys: [], ignored: [{ reason: 'no accepted algorithm is for it' }] })
  }
})

t.test('a weak key is ignored', async (t) => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2047 })
  t.match(await read([publicKey.export({ format: 'jwk' })]), { keys: [], ignored: [{ reason: 'it is weak' }] })
  // With the exponent 1 a signature is the padded digest itself.
  t.match(await read([{ ...RS256, e: 'AQ' }]), { keys: [], ignored: [{ reason: 'it is weak' }] })
  t.match((await read([{ ...RS256, e: 'Aw' }])).keys, [{ kid: 'RS256' }])
  // The neutral point (RFC 8032 section 5.1): every text has the same signature.
  const neutral = Buffer.from(Buffer.alloc(32).with(0, 1)).toString('base64url')
  t.match(await read([{ ...EdDSA, x: neutral }]), { keys: [], ignored: [{ reason: 'it is weak' }] })
})

t.test('a key with a private member, or a secret, is ignored', async (t) => {
  for (const pair of pairs) {
    const jwk = { ...pair.privateKey.export({ format: 'jwk' }), kid: 'private' }
    t.strictSame(await read([jwk]), { keys: [], ignored: [{ kid: 'private', reason: 'it is not public' }] })
  }
  for (const name of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']) {
    t.match((await read([{ ...EdDSA, [name]: '' }])).ignored, [{ reason: 'it is not public' }])
  }
})

t.test('a malformed key is ignored and does not spoil the others', async (t) => {
  const ES256 = jwkOf('ES256')
  const broken = [
    null,
    'key',
    [EdDSA],
    { ...EdDSA, x: 'AAAA' },
    { ...EdDSA, x: undefined },
    { ...EdDSA, x: 1 },
    { ...ES256, y: ES256.x },
    { ...RS256, n: undefined },
    { ...EdDSA, kid: 1 },
    { ...EdDSA, kid: '' },
    { ...EdDSA, kid: 'k'.repeat(256) }
  ]
  const { keys, ignored } = await read([...broken, EdDSA])
  t.match(keys, [{ kid: 'EdDSA' }])
  t.strictSame(
    ignored.map(({ reason }) => reason),
    [
      ...Array(3).fill('it is no JSON object'),
      ...Array(5).fill('it is malformed'),
      ...Array(3).fill('its kid is unusable')
    ]
  )
  t.equal(ignored.at(-1)?.kid?.length, 255, 'what is logged is bounded')
})

t.test('of keys with one kid the first is used, and one without only when it is alone', async (t) => {
  const other = keyPair('EdDSA', 'EdDSA').jwk
  t.match(await read([EdDSA, other]), {
    keys: (await read([EdDSA])).keys,
    ignored: [{ kid: 'EdDSA', reason: 'its kid is taken' }]
  })
  t.match((await read([{ ...EdDSA, kid: undefined }])).keys, [{ kid: undefined }])
  t.match(await read([{ ...EdDSA, kid: undefined }, other]), {
    keys: [{ kid: 'EdDSA' }],
    ignored: [{ kid: undefined, reason: 'it has no kid and is not alone' }]
  })
})

t.test('the number of keys has no limit: the last may sign the next token (issue 16)', async (t) => {
  const { keys, ignored } = await read(Array.from({ length: 300 }, (_, i) => ({ ...EdDSA, kid: `${i}` })))
  t.equal(keys.length, 300)
  t.match(keys.at(-1), { kid: '299' })
  t.strictSame(ignored, [])
})

t.test('what is not a key set is an error that repeats nothing of it', async (t) => {
  for (const text of ['', '<html>', '[]', 'null', '1', '{}', '{"keys":{}}', '{"keys":null}']) {
    await t.rejects(readKeySet(text, ALGORITHMS), { message: /^(?:not JSON|not a key set)$/ }, text)
  }
})
