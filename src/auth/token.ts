import type { ProblemCode } from '../http/problems.ts'

/** The parts of a JWS in compact form (RFC 7515 section 7.1), decoded but not verified. */
export interface Token {
  header: Readonly<Record<string, unknown>>
  claims: Readonly<Record<string, unknown>>
}

const MAX_BYTES = 8192
/** The longest `kid` of a token and of a published key. */
export const KID_MAX_LENGTH = 255

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Returns the JSON object in a segment. Undefined unless the segment is canonical base64url of an object in well-formed
 * UTF-8.
 */
function decode(segment: string): Record<string, unknown> | undefined {
  const bytes = Buffer.from(segment, 'base64url')
  // Node skips invalid characters and ignores spare bits. Encoding the bytes again shows both (RFC 8725 section 2.4).
  if (bytes.toString('base64url') !== segment) return undefined
  try {
    const value: unknown = JSON.parse(utf8.decode(bytes))
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

/** Parses a token, or returns the problem with it. Without cryptography, this refuses most bad tokens cheaply. */
export function parseToken(text: string): Token | ProblemCode {
  // A header value is Latin-1, so a character is a byte.
  if (text.length > MAX_BYTES) return 'token_too_long'
  const parts = text.split('.')
  if (parts.length !== 3) return 'token_malformed'
  const [headerSegment, claimsSegment, signature] = parts as [string, string, string]
  if (signature === '' || Buffer.from(signature, 'base64url').toString('base64url') !== signature)
    return 'token_malformed'
  const header = decode(headerSegment)
  const claims = decode(claimsSegment)
  if (header === undefined || claims === undefined) return 'token_malformed'
  if (header.kid !== undefined && (typeof header.kid !== 'string' || header.kid.length > KID_MAX_LENGTH))
    return 'token_malformed'
  return { header, claims }
}
