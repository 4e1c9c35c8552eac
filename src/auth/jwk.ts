import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { KeyAlgorithm } from '../config/algorithms.ts'
import { KID_MAX_LENGTH } from './token.ts'

/** A key of a JSON Web Key Set that can verify tokens. */
export interface PublishedKey {
  /** Undefined only when the key is the only one of its set. */
  readonly kid: string | undefined
  readonly algorithm: KeyAlgorithm
  /** SubjectPublicKeyInfo, in PEM. */
  readonly pem: string
}

/** A published key set: the keys that the service uses, and the reason why each other key is ignored. */
export interface KeySet {
  keys: PublishedKey[]
  ignored: { kid: string | undefined; reason: string }[]
}

/** Thrown when an issuer's answer is not a key set. The message is logged, so it repeats nothing of the answer. */
export class KeySetError extends Error {}

/** The number of keys to read before other work gets a turn. It takes some 5 ms, and requests are served between. */
const PORTION = 50

const RSA_MIN_BITS = 2048
// With an exponent of 1, every message is its own signature.
const RSA_MIN_EXPONENT = 3n

// RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1, RFC 8037 section 2.
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

// The kind of key that each algorithm needs (RFC 7518 section 3.1, RFC 8037 section 3.1). A key that names no algorithm
// gets the first one that fits. An RSA key gets RS256, which is the usual default.
const KINDS: [algorithm: KeyAlgorithm, kty: string, crv?: string][] = [
  ['EdDSA', 'OKP', 'Ed25519'],
  ['ES256', 'EC', 'P-256'],
  ['ES512', 'EC', 'P-521'],
  ['RS256', 'RSA'],
  ['PS256', 'RSA']
]

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function parse(text: string): unknown[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new KeySetError('not JSON')
  }
  if (!isObject(value) || !Array.isArray(value.keys)) throw new KeySetError('not a key set')
  return value.keys
}

const ED25519_PRIME = 2n ** 255n - 19n

/**
 * Whether an Ed25519 key is one of the few points whose order divides 8 (RFC 8032 section 5.1). OpenSSL 3.0 accepts
 * these keys.
 */
function hasSmallOrder(key: KeyObject): boolean {
  const bytes = Buffer.from(String(key.export({ format: 'jwk' }).x), 'base64url').reverse()
  // The highest bit is the sign of x.
  const y = BigInt.asUintN(255, BigInt(`0x${bytes.toString('hex')}`))
  const t = (y * y) % ED25519_PRIME
  // The order divides 8 when y is 0, 1 or -1, or when the doubled point has y = 0. By the curve's equation, the latter
  // means 2t = 1 - dt², with d = -121665/121666.
  return (t * (t - 1n) * (121665n * t * t - 2n * 121666n * t + 121666n)) % ED25519_PRIME === 0n
}

/** Whether anyone can forge signatures of the key, at once or after some work (RFC 8725 section 3.5). */
function isWeak(key: KeyObject): boolean {
  if (key.asymmetricKeyType === 'ed25519') return hasSmallOrder(key)
  const { modulusLength = RSA_MIN_BITS, publicExponent = RSA_MIN_EXPONENT } = { ...key.asymmetricKeyDetails }
  return modulusLength < RSA_MIN_BITS || publicExponent < RSA_MIN_EXPONENT
}

/** Returns the key of a JWK, or the reason why it is not used. */
function read(jwk: Record<string, unknown>, algorithms: readonly string[]): PublishedKey | string {
  const { kid, kty, crv, alg, use, key_ops: operations } = jwk
  if (kid !== undefined && (typeof kid !== 'string' || kid === '' || kid.length > KID_MAX_LENGTH))
    return 'its kid is unusable'
  // Anyone who reads the set can sign with a private or symmetric key.
  if (PRIVATE_MEMBERS.some((name) => name in jwk)) return 'it is not public'
  if (use !== undefined && use !== 'sig') return 'its use is not sig'
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify')))
    return 'its key_ops forbid it'
  const kind = KINDS.find(
    ([algorithm, type, curve]) =>
      type === kty &&
      (curve === undefined || curve === crv) &&
      algorithms.includes(algorithm) &&
      (alg === undefined || alg === algorithm)
  )
  if (kind === undefined) return 'no accepted algorithm is for it'
  try {
    const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })
    if (isWeak(key)) return 'it is weak'
    return { kid, algorithm: kind[0], pem: key.export({ type: 'spki', format: 'pem' }).toString() }
  } catch {
    return 'it is malformed'
  }
}

/**
 * Reads a JSON Web Key Set (RFC 7517 section 5). It ignores a key that the service cannot or must not use, and keeps
 * the others. Only the size of the set (`download.ts`) limits the number of keys: an issuer that rotates often
 * publishes hundreds, and any of them may sign the next token.
 *
 * @param algorithms the accepted algorithms; each key is used with exactly one of them (RFC 8725 section 3.1)
 * @throws {KeySetError} when the text is not a JSON object with an array `keys`
 */
export async function readKeySet(text: string, algorithms: readonly string[]): Promise<KeySet> {
  const published = parse(text)
  const keys = new Map<string | undefined, PublishedKey>()
  const add = (key: PublishedKey): string | undefined => {
    if (key.kid === undefined && published.length > 1) return 'it has no kid and is not alone'
    if (keys.has(key.kid)) return 'its kid is taken'
    keys.set(key.kid, key)
    return undefined
  }
  const ignored: KeySet['ignored'] = []
  for (const [index, jwk] of published.entries()) {
    if (index % PORTION === PORTION - 1) await setImmediate()
    const key = isObject(jwk) ? read(jwk, algorithms) : 'it is no JSON object'
    const reason = typeof key === 'string' ? key : add(key)
    if (reason !== undefined) ignored.push({ kid: nameOf(jwk), reason })
  }
  return { keys: [...keys.values()], ignored }
}

const nameOf = (jwk: unknown) =>
  isObject(jwk) && typeof jwk.kid === 'string' ? jwk.kid.slice(0, KID_MAX_LENGTH) : undefined
