import { generateKeyPairSync, type JsonWebKey, type KeyObject, randomUUID, sign } from 'node:crypto'
import type { Algorithm } from './issuer.ts'

/** A key of an issuer: what it publishes, and what it signs. Independent of the libraries that verify. */
export interface KeyPair {
  kid: string
  algorithm: Algorithm
  privateKey: KeyObject
  /** The public JWK, with `kid`, `alg` and `use`. */
  jwk: JsonWebKey & Record<string, unknown>
  /** A JWS of the claims; `header` replaces or, with undefined, removes members. Text is signed as it is. */
  token(claims: object | string, header?: object): string
}

const generate = {
  EdDSA: () => generateKeyPairSync('ed25519'),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES512: () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  PS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 })
}

const DIGEST = { EdDSA: null, ES256: 'sha256', ES512: 'sha512', PS256: 'sha256', RS256: 'sha256' }

const RSA_PKCS1_PSS_PADDING = 6
const SALT_IS_DIGEST = -1

export const part = (value: object | string) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

export function signatureOf(algorithm: Algorithm, key: KeyObject, input: string): Buffer {
  return sign(DIGEST[algorithm], Buffer.from(input), {
    key,
    dsaEncoding: 'ieee-p1363',
    ...(algorithm === 'PS256' && { padding: RSA_PKCS1_PSS_PADDING, saltLength: SALT_IS_DIGEST })
  })
}

export function keyPair(algorithm: Algorithm, kid: string = randomUUID()): KeyPair {
  const { publicKey, privateKey } = generate[algorithm]()
  return {
    kid,
    algorithm,
    privateKey,
    jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: algorithm, use: 'sig' },
    token(claims, header = {}) {
      const input = `${part({ alg: algorithm, typ: 'JWT', kid, ...header })}.${part(claims)}`
      return `${input}.${signatureOf(algorithm, privateKey, input).toString('base64url')}`
    }
  }
}
