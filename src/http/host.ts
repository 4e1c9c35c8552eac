import type { IncomingMessage } from 'node:http'

// RFC 9110 section 7.2: a name, an IPv4 address, or one of IPv6 in brackets (RFC 3986 section 3.2.2), and a port.
const HOST = /^(?:[\w.~!$&'()*+,;=%-]*|\[[\w.:%~-]+\])(?::\d*)?$/

/**
 * Whether a request names its host as RFC 9112 section 3.2 asks: at most once, by a valid value, and over HTTP/1.1 at
 * least once. Of several lines Node keeps the first, and a proxy before us may have read another.
 */
export function isHostValid({ httpVersion, rawHeaders }: IncomingMessage): boolean {
  const hosts = rawHeaders.filter((_value, i) => rawHeaders[i - 1]?.toLowerCase() === 'host' && i % 2 === 1)
  const [host] = hosts
  if (host === undefined) return httpVersion !== '1.1'
  return hosts.length === 1 && HOST.test(host)
}
