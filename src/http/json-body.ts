import { isUtf8 } from 'node:buffer'
import { Problem } from './problems.ts'

/** Fits every valid task: 10,000 characters of description, each written as a surrogate pair of `\uXXXX` escapes. */
export const BODY_LIMIT_BYTES = 128 * 1024

/**
 * The most values that a body may have: several times as many as the largest valid body has. `JSON.parse` takes up to
 * half a second for 1 MiB of brackets or of empty objects, and a millisecond for this many values.
 */
export const MAX_VALUES = 10_000

const [QUOTE, COMMA, BRACKET, BACKSLASH, BRACE] = [0x22, 0x2c, 0x5b, 0x5c, 0x7b]

/** Whether JSON has more than `MAX_VALUES` values. Each value but the first follows a comma or an opening bracket. */
function hasTooManyValues(json: Buffer): boolean {
  let values = 1
  let inText = false
  // No byte of a character outside ASCII equals one of these (RFC 3629 section 3).
  for (let i = 0; i < json.length; i++) {
    const byte = json[i]
    if (inText) {
      if (byte === BACKSLASH) i++
      else if (byte === QUOTE) inText = false
    } else if (byte === QUOTE) inText = true
    else if (byte === COMMA || byte === BRACKET || byte === BRACE) {
      values++
      if (values > MAX_VALUES) return true
    }
  }
  return false
}

/** Parses a JSON body. It throws `invalid_json`, or `validation_failed` when the body has too many values. */
export function parseBody(body: Buffer): unknown {
  // Decoding would replace invalid UTF-8 by U+FFFD, and the service would store another text than the client sent.
  if (!isUtf8(body)) throw new Problem('invalid_json')
  // A value has at least one byte, so most bodies need no count.
  if (body.length > MAX_VALUES && hasTooManyValues(body)) {
    const detail = `must NOT have more than ${MAX_VALUES} values`
    throw new Problem('validation_failed', [{ in: 'body', pointer: '', detail }])
  }
  try {
    return JSON.parse(body.toString())
  } catch {
    throw new Problem('invalid_json')
  }
}
