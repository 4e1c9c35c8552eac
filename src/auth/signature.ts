import { createPublicKey } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import Fastify from 'fastify'
import type { KeyAlgorithm } from './jwk.ts'

/**
 * Makes the signature check of one public key: @fastify/jwt's, which answers whether a JWS (RFC 7515 section 5.2) was
 * signed with it. Header and claims are judged in src/auth.
 *
 * @param pem SubjectPublicKeyInfo
 * @param algorithm the only one that the key is used with
 */
export async function signatureCheck(pem: string, algorithm: KeyAlgorithm): Promise<(token: string) => boolean> {
  // An instance for each key, which costs 2 ms once. One for all keys would have to be told the key on each call, and
  // then reads it anew, which nearly doubles the cost of an EdDSA token.
  const scope = Fastify()
  const { modulusLength } = { ...createPublicKey(pem).asymmetricKeyDetails }
  await scope.register(fastifyJwt, {
    secret: { public: pem },
    verify: { algorithms: [algorithm], ignoreExpiration: true, ignoreNotBefore: true, cache: false }
  })
  return (token) => {
    // OpenSSL takes one that lacks its leading zeros for the same number; it is as long as the modulus (RFC 8017
    // sections 8.1.2 and 8.2.2).
    const characters = token.length - token.lastIndexOf('.') - 1
    if (modulusLength !== undefined && characters !== Math.ceil((Math.ceil(modulusLength / 8) * 4) / 3)) return false
    try {
      scope.jwt.verify(token)
      return true
    } catch {
      return false
    }
  }
}
