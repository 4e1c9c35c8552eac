import { isIP } from 'node:net'
import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import { LruMap } from 'toad-cache'

/** What a host has for itself: whoever holds one address of the network can take any other (RFC 8981). */
const IPV6_PREFIX_BITS = 64

// Parsing an IPv6 address takes 9 µs, and IPv4 ones come mapped into IPv6 where the server listens on `::`.
const known = new LruMap<string>(10_000)

/**
 * Whom an anonymous request counts against: its IPv4 address, or the /64 network of its IPv6 one; an IPv4-mapped
 * address counts as IPv4. Where a trusted proxy names something else than an address, that would be a fresh budget for
 * each spelling, so the proxy itself counts.
 */
export function addressOf({ ip, socket }: FastifyRequest): string {
  const address = isIP(ip) === 0 ? socket.remoteAddress : ip
  // A Unix socket has no address: one budget for all that come through it.
  if (address === undefined) return 'local'
  let normal = known.get(address)
  if (normal === undefined) {
    normal = normalizeIP(address, IPV6_PREFIX_BITS)
    known.set(address, normal)
  }
  return normal
}
