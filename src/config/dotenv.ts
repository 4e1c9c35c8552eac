import { readFileSync } from 'node:fs'
// With a named import of `parseEnv`, an old Node.js would fail before `requireNode` (commands/run.ts) can report it.
import util from 'node:util'
import { ConfigError } from './error.ts'

/** The decoder skips a byte order mark, which would otherwise become part of the first name. */
const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * Returns the text of `.env`, or undefined when it is not UTF-8. UTF-16 without a byte order mark is valid UTF-8 too,
 * but with a U+0000 in each letter.
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
 * Reads `.env` of the working directory. Without the file there are no variables.
 *
 * @throws {ConfigError} when it is not UTF-8, since its variables would be lost or have wrong values
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
