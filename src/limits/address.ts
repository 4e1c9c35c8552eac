import { isIP } from 'node:net'
import { compile } from '@fastify/proxy-addr'
import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import { LruMap } from 'toad-cache'

/** What a host has for itself: whoever holds one address of the network can take any other (RFC 8981). */
const IPV6_PREFIX_BITS = 64

const PORT = /:\d{1,5}$/
const BRACKETS = /^\[(.*)\]$/

/**
 * The address in an element of `X-Forwarded-For`, or undefined where it names none. Some load balancers add the port,
 * and write IPv6 addresses in brackets: `203.0.113.7:51312`, `[2001:db8::1]:443`.
 */
function addressIn(element: string): string | undefined {
  if (isIP(element) !== 0) return element
  const address = element.replace(PORT, '').replace(BRACKETS, '$1')
  return isIP(address) === 0 ? undefined : address
}

/** Whether an element of `X-Forwarded-For` is a proxy of `TRUST_PROXY`, whose own elements may have ports too. */
export function trustedProxies(trustProxy: readonly string[]): (element: string | undefined) => boolean {
  const trusts = compile([...trustProxy])
  // A Unix socket has no address, and no name in TRUST_PROXY.
  return (element) => element !== undefined && trusts(addressIn(element) ?? element, 0)
}

/** Tells whom requests without a valid token count against. */
export class ClientAddresses {
  readonly #log: Pick<FastifyBaseLogger, 'warn'>
  // Parsing an IPv6 address takes 9 µs, and IPv4 ones come mapped into IPv6 where the server listens on `::`.
  readonly #known = new LruMap<string>(10_000)
  #warned = false

  constructor(log: Pick<FastifyBaseLogger, 'warn'>) {
    this.#log = log
  }

  /**
   * The IPv4 address of the client, or the /64 network of its IPv6 one; an IPv4-mapped address counts as IPv4. Where a
   * trusted proxy names something else than an address, that would be a fresh budget for each spelling, so the proxy
   * itself counts.
   */
  of({ ip, socket }: FastifyRequest): string {
    const proxy = socket.remoteAddress
    // A Unix socket has no address: one budget for all that come through it.
    if (proxy === undefined) return 'local'
    const address = addressIn(ip)
    if (address === undefined) this.#warn(proxy)
    return this.#normal(address ?? proxy)
  }

  #warn(proxy: string): void {
    if (this.#warned) return
    this.#warned = true
    this.#log.warn({ proxy }, 'X-Forwarded-For names no address: the clients of this proxy share one budget')
  }

  #normal(address: string): string {
    let normal = this.#known.get(address)
    if (normal === undefined) {
      normal = normalizeIP(address, IPV6_PREFIX_BITS)
      this.#known.set(address, normal)
    }
    return normal
  }
}
