import type { IncomingMessage } from 'node:http'
import { headerLines } from './header-lines.ts'

// RFC 9110 section 7.2: a name, an IPv4 address, or an IPv6 address in brackets (RFC 3986 section 3.2.2), and a port.
const HOST = /^(?:[\w.~!$&'()*+,;=%-]*|\[[\w.:%~-]+\])(?::\d*)?$/

/**
 * Whether a request has a valid `Host` (RFC 9112 section 3.2). The field may appear at most once, with a valid value.
 * HTTP/1.1 requires it.
 */
export function isHostValid({ httpVersion, headers: { host }, rawHeaders }: IncomingMessage): boolean {
  if (host === undefined) return httpVersion !== '1.1'
  return HOST.test(host) && headerLines(rawHeaders, 'host') === 1
}
