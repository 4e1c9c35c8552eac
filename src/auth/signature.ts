import { createPublicKey } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import Fastify from 'fastify'
import type { KeyAlgorithm } from '../config/algorithms.ts'

/**
 * The signature check of one public key. Making it costs time and memory, so it is made when a token first names the
 * key: an issuer may publish hundreds of keys that no longer sign tokens.
 */
export class SignatureCheck {
  readonly #pem: string
  readonly #algorithm: KeyAlgorithm
  #check: ((token: string) => boolean) | undefined
  #preparation: Promise<void> | undefined

  /**
   * @param pem SubjectPublicKeyInfo
   * @param algorithm the only algorithm that the key is used with
   */
  constructor(pem: string, algorithm: KeyAlgorithm) {
    this.#pem = pem
    this.#algorithm = algorithm
  }

  get isReady(): boolean {
    return this.#check !== undefined
  }

  /** Makes the check. All calls share one preparation. */
  prepare(): Promise<void> {
    this.#preparation ??= this.#make()
    return this.#preparation
  }

  async #make(): Promise<void> {
    this.#check = await checkOf(this.#pem, this.#algorithm)
  }

  /**
   * Whether the key signed a token.
   *
   * @throws {TypeError} when the check is not ready yet
   */
  readonly signed = (token: string): boolean => (this.#check as (token: string) => boolean)(token)
}

/**
 * Makes the check of @fastify/jwt: whether a JWS (RFC 7515 section 5.2) was signed with the key. src/auth checks the
 * header and the claims.
 */
async function checkOf(pem: string, algorithm: KeyAlgorithm): Promise<(token: string) => boolean> {
  // Each key has a Fastify instance of its own, which costs 2 ms once. A shared instance would read the key again on
  // each call, which nearly doubles the cost of an EdDSA token.
  const scope = Fastify()
  const { modulusLength } = { ...createPublicKey(pem).asymmetricKeyDetails }
  await scope.register(fastifyJwt, {
    secret: { public: pem },
    verify: { algorithms: [algorithm], ignoreExpiration: true, ignoreNotBefore: true, cache: false }
  })
  return (token) => {
    // A signature must be as long as the modulus (RFC 8017 sections 8.1.2 and 8.2.2). OpenSSL would also accept one
    // without its leading zeros.
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
