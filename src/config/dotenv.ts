import { readFileSync } from 'node:fs'
// A named import of `parseEnv` stops an old Node.js before `requireNode` (commands/run.ts) can say that it is too old.
import util from 'node:util'
import { ConfigError } from './error.ts'

/** Skips a byte order mark, which would become part of the first name. */
const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * The text of `.env`, or undefined when it is in another encoding. UTF-16 without a byte order mark is valid UTF-8 too,
 * with a U+0000 in each letter.
 */
function decode(bytes: Buffer): string | undefined {
  if (bytes.includes(0)) return undefined
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

/**
 * `.env` of the working directory; nothing when there is none.
 *
 * @throws {ConfigError} when it is not UTF-8: its variables would be lost, or have other values
 */
export function readDotenv(): NodeJS.ProcessEnv {
  let bytes: Buffer
  try {
    bytes = readFileSync('.env')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw error
  }
  const text = decode(bytes)
  if (text === undefined)
    throw new ConfigError(['.env is not UTF-8 (Windows may have saved it as UTF-16): save it as UTF-8.'])
  return util.parseEnv(text)
}
