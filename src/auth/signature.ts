import { createPublicKey } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import Fastify from 'fastify'
import type { KeyAlgorithm } from '../config/algorithms.ts'

/**
 * The signature check of one public key. It costs time and memory, so it is made when a token first names the key: an
 * issuer may publish hundreds that sign nothing any more.
 */
export class SignatureCheck {
  readonly #pem: string
  readonly #algorithm: KeyAlgorithm
  #check: ((token: string) => boolean) | undefined
  #preparation: Promise<void> | undefined

  /**
   * @param pem SubjectPublicKeyInfo
   * @param algorithm the only one that the key is used with
   */
  constructor(pem: string, algorithm: KeyAlgorithm) {
    this.#pem = pem
    this.#algorithm = algorithm
  }

  get isReady(): boolean {
    return this.#check !== undefined
  }

  /** Makes the check, once however many ask. */
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
   * @throws {TypeError} before the check is ready
   */
  readonly signed = (token: string): boolean => (this.#check as (token: string) => boolean)(token)
}

/**
 * Makes @fastify/jwt's check, which answers whether a JWS (RFC 7515 section 5.2) was signed with the key. Header and
 * claims are judged in src/auth.
 */
async function checkOf(pem: string, algorithm: KeyAlgorithm): Promise<(token: string) => boolean> {
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
