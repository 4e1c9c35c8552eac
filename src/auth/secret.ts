import { createHmac, createSecretKey, randomBytes, timingSafeEqual } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

const FOLDER = '.data'

/** Where the development secret is kept, relative to the working directory. */
export const SECRET_FILE = `${FOLDER}/secret`

/**
 * The secret for development, when none is set: made once and kept in `.data/secret`, readable by its owner only, so
 * that tokens survive a restart. Production never gets here (`src/config.ts` refuses).
 */
export function developmentSecret(): string {
  mkdirSync(FOLDER, { recursive: true, mode: 0o700 })
  const draft = `${SECRET_FILE}.${process.pid}`
  writeFileSync(draft, randomBytes(32).toString('base64'), { mode: 0o600 })
  try {
    // A link appears whole or not at all, and not over another: two processes that start at once agree on one secret.
    linkSync(draft, SECRET_FILE)
  } catch {
    // It is there already. Were it something else, reading it below would fail.
  } finally {
    rmSync(draft)
  }
  return readFileSync(SECRET_FILE, 'utf8')
}

const HASHES: Record<string, string> = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' }

/**
 * Makes the check of a token's MAC (RFC 7515 section 5.2, RFC 7518 section 3.2) that comes before @fastify/jwt's own.
 * That one refuses by errors with stacks, which are half of what an answer to a forged token cost
 * (docs/performance.md).
 *
 * @param algorithm HS256, HS384 or HS512
 */
export function macCheck(secret: string, algorithm: string): (token: string) => boolean {
  const key = createSecretKey(secret, 'utf8')
  const hash = String(HASHES[algorithm])
  return (token) => {
    const end = token.lastIndexOf('.')
    const mac = createHmac(hash, key).update(token.slice(0, end)).digest()
    const given = Buffer.from(token.slice(end + 1), 'base64url')
    return given.length === mac.length && timingSafeEqual(given, mac)
  }
}
