import type { IncomingMessage } from 'node:http'
import { headerLines } from '../http/header-lines.ts'
import type { ProblemCode } from '../http/problems.ts'

// RFC 6750 section 2.1: the scheme `Bearer` in any case, and a b64token.
const BEARER = /^bearer +([\w.~+/-]+=*)$/i

/** Returns the token of the `Authorization` header, or the problem with it. Tokens are read from no other place. */
export function bearerToken({ headers, rawHeaders }: IncomingMessage): { token: string } | { problem: ProblemCode } {
  const { authorization } = headers
  if (authorization === undefined || authorization === '') return { problem: 'authorization_missing' }
  // When the header is sent twice, Node keeps the first line, but a proxy may have read the second. Accept neither.
  const lines = headerLines(rawHeaders, 'authorization')
  const token = lines > 1 ? undefined : BEARER.exec(authorization)?.[1]
  if (token !== undefined) return { token }
  return { problem: /^bearer\b/i.test(authorization) ? 'authorization_format' : 'authorization_scheme' }
}
