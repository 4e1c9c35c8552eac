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
  await scope.register(fastifyJwt, {
    secret: { public: pem },
    verify: { algorithms: [algorithm], ignoreExpiration: true, ignoreNotBefore: true, cache: false }
  })
  return (token) => {
    try {
      scope.jwt.verify(token)
      return true
    } catch {
      return false
    }
  }
}
