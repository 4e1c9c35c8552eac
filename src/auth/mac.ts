import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto'

const HASHES: Record<string, string> = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' }

/**
 * Makes the check of a token's MAC (RFC 7515 section 5.2, RFC 7518 section 3.2) that comes before @fastify/jwt's own.
 * That one refuses by errors with stacks, which are half of what an answer to a forged token cost
 * (docs/performance.md).
 *
 * @param algorithm HS256, HS384 or HS512
 */
export function createMacCheck(secret: string, algorithm: string): (token: string) => boolean {
  const key = createSecretKey(secret, 'utf8')
  const hash = String(HASHES[algorithm])
  return (token) => {
    const end = token.lastIndexOf('.')
    const mac = createHmac(hash, key).update(token.slice(0, end)).digest()
    const given = Buffer.from(token.slice(end + 1), 'base64url')
    return given.length === mac.length && timingSafeEqual(given, mac)
  }
}
