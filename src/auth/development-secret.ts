import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

const FOLDER = '.data'

/** The file of the development secret, relative to the working directory. */
export const SECRET_FILE = `${FOLDER}/secret`

/**
 * Returns the secret for development, when none is set. It is made once and kept in `.data/secret`, which only the
 * file's owner can read, so that tokens stay valid after a restart. Production does not start without a secret
 * (`src/config/rules.ts`).
 */
export function developmentSecret(): string {
  mkdirSync(FOLDER, { recursive: true, mode: 0o700 })
  const draft = `${SECRET_FILE}.${process.pid}`
  writeFileSync(draft, randomBytes(32).toString('base64'), { mode: 0o600 })
  try {
    // Creating a link is atomic and replaces no file, so two processes that start at once use the same secret.
    linkSync(draft, SECRET_FILE)
  } catch {
    // The file exists already. After any other failure, the read below throws.
  } finally {
    rmSync(draft)
  }
  return readFileSync(SECRET_FILE, 'utf8')
}
