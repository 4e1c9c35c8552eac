import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

const FOLDER = '.data'

/** Where the development secret is kept, relative to the working directory. */
export const SECRET_FILE = `${FOLDER}/secret`

/**
 * The secret for development, when none is set: made once and kept in `.data/secret`, readable by its owner only, so
 * that tokens survive a restart. Production never gets here (`src/config/config.ts` refuses).
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
