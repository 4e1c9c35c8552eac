import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import { SECRET_ALGORITHMS } from '../config/algorithms.ts'
import type { KeySource } from './checker.ts'
import { Key } from './key.ts'
import { createMacCheck } from './mac.ts'

/**
 * Makes the shared secret the only key. It is used for every token, whatever the header says.
 *
 * @param algorithm one of `SECRET_ALGORITHMS`
 */
export async function sharedSecretKey(app: FastifyInstance, secret: string, algorithm: string): Promise<KeySource> {
  await app.register(fastifyJwt, {
    secret,
    // The library checks only the signature, and src/auth checks the header and the claims. The library would accept
    // absent claims and claims of the wrong type, and its cache would remember failures.
    verify: { algorithms: [...SECRET_ALGORITHMS], ignoreExpiration: true, ignoreNotBefore: true, cache: false }
  })
  const hasMac = createMacCheck(secret, algorithm)
  const key = new Key(algorithm, (token) => {
    if (!hasMac(token)) return false
    try {
      app.jwt.verify(token)
      return true
    } catch {
      return false
    }
  })
  const always = () => key
  return { version: 0, hasKeys: () => true, held: always, ask: always, recheck: () => undefined }
}
