import type { IncomingMessage } from 'node:http'
import { headerLines } from '../http/header-lines.ts'
import type { ProblemCode } from '../http/problems.ts'

// RFC 6750 section 2.1: one scheme, in any case, and a b64token.
const BEARER = /^bearer +([\w.~+/-]+=*)$/i

/** The token of the `Authorization` header, or the problem with the header. A token is taken from nowhere else. */
export function bearerToken({ headers, rawHeaders }: IncomingMessage): { token: string } | { problem: ProblemCode } {
  const { authorization } = headers
  if (authorization === undefined || authorization === '') return { problem: 'authorization_missing' }
  // Of two lines, Node keeps the first, and a proxy may have read the second. So neither counts.
  const lines = headerLines(rawHeaders, 'authorization')
  const token = lines > 1 ? undefined : BEARER.exec(authorization)?.[1]
  if (token !== undefined) return { token }
  return { problem: /^bearer\b/i.test(authorization) ? 'authorization_format' : 'authorization_scheme' }
}
