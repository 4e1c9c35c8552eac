import { createPublicKey } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import fastifyJwt from '@fastify/jwt'
import Fastify from 'fastify'
import { Key } from '../../src/auth/key.ts'
import { SignatureCheck } from '../../src/auth/signature.ts'
import { loadConfig } from '../../src/config/config.ts'
import type { Algorithm } from '../support/issuer.ts'
import { keyPair } from '../support/key-pair.ts'
import { verifying } from '../support/verify.ts'

// `node dist/test/load/token-cost.js`: microseconds for a token that is seen first, again, and with a bad signature. It
// uses one core for some seconds. Signatures are checked by @fastify/jwt, as the service does.
const COUNT = 2000
const SECRET = 'a secret for measuring, which is long enough'
const APP = 'https://app.example.com'

const issued = Math.floor(Date.now() / 1000)
// A token of Better Auth has as many claims.
const claims = (n: number) => ({
  iat: issued,
  name: 'Zoë',
  email: `zoe-${n}@example.com`,
  emailVerified: true,
  image: null,
  createdAt: '2026-01-01T00:00:00.000Z',
  updatedAt: '2026-01-01T00:00:00.000Z',
  id: `user-${n}`,
  sub: `user-${n}`,
  exp: issued + 900,
  iss: APP,
  aud: APP
})

function mean(tokens: string[], verify: (token: string) => unknown, accepted: boolean): string {
  const start = performance.now()
  for (const token of tokens) {
    if ((typeof verify(token) !== 'string') !== accepted) throw new Error(`wrong verdict on ${token}`)
  }
  return `${(((performance.now() - start) / tokens.length) * 1000).toFixed(1).padStart(8)} µs`
}

function measure(name: string, env: Record<string, string>, key: Key, sign: (claims: object) => string): void {
  const { auth } = loadConfig({ NODE_ENV: 'test', ...env })
  const verify = verifying(auth, () => key)
  const warm = Array.from({ length: COUNT }, (_, n) => sign(claims(-n)))
  mean(warm, verify, true)
  const tokens = Array.from({ length: COUNT }, (_, n) => sign(claims(n)))
  const forged = tokens.map((token, n) => {
    const foreign = tokens[n + 1 === COUNT ? 0 : n + 1]?.split('.')[2]
    return `${token.slice(0, token.lastIndexOf('.'))}.${foreign}`
  })
  const bad = mean(forged, verify, false)
  const first = mean(tokens, verify, true)
  mean(tokens, verify, true)
  const again = mean(tokens, verify, true)
  console.log(`${name.padEnd(6)} first ${first}   again ${again}   bad signature ${bad}`)
}

for (const algorithm of ['EdDSA', 'ES256', 'ES512', 'PS256', 'RS256'] satisfies Algorithm[]) {
  const pair = keyPair(algorithm)
  const pem = createPublicKey(pair.privateKey).export({ type: 'spki', format: 'pem' }).toString()
  const check = new SignatureCheck(pem, algorithm)
  await check.prepare()
  const key = new Key(algorithm, check.signed)
  measure(algorithm, { BETTER_AUTH_URL: APP }, key, (payload) => pair.token(payload))
}

const app = Fastify()
await app.register(fastifyJwt, { secret: SECRET, verify: { algorithms: ['HS256'], cache: false } })
const shared = new Key('HS256', (token) => {
  try {
    app.jwt.verify(token)
    return true
  } catch {
    return false
  }
})
measure('HS256', { BETTER_AUTH_SECRET: SECRET }, shared, (payload) => app.jwt.sign(payload))
