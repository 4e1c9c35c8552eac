import { isIP } from 'node:net'
import { compile } from '@fastify/proxy-addr'
import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import { LruMap } from 'toad-cache'

/** The IPv6 network of one host. A host with one address in it can take any other (RFC 8981). */
const IPV6_PREFIX_BITS = 64

const PORT = /:\d{1,5}$/
const BRACKETS = /^\[(.*)\]$/

/**
 * Returns the address in an element of `X-Forwarded-For`, or undefined when it has none. Some load balancers add the
 * port and write IPv6 addresses in brackets: `203.0.113.7:51312`, `[2001:db8::1]:443`.
 */
function addressIn(element: string): string | undefined {
  if (isIP(element) !== 0) return element
  const address = element.replace(PORT, '').replace(BRACKETS, '$1')
  return isIP(address) === 0 ? undefined : address
}

/** Makes the function that tells whether an address or an element of `X-Forwarded-For` is a proxy of `TRUST_PROXY`. */
export function trustedProxies(trustProxy: readonly string[]): (element: string | undefined) => boolean {
  const trusts = compile([...trustProxy])
  // A Unix socket has no address, so TRUST_PROXY cannot name it.
  return (element) => element !== undefined && trusts(addressIn(element) ?? element, 0)
}

/** Finds the address that a request without a valid token counts against. */
export class ClientAddresses {
  readonly #log: Pick<FastifyBaseLogger, 'warn'>
  // A cache, because parsing an IPv6 address takes 9 µs. A server on `::` sees IPv4 addresses mapped into IPv6.
  readonly #known = new LruMap<string>(10_000)
  #warned = false

  constructor(log: Pick<FastifyBaseLogger, 'warn'>) {
    this.#log = log
  }

  /**
   * Returns the client's IPv4 address, or the /64 network of its IPv6 address. An IPv4-mapped address counts as IPv4.
   * When a trusted proxy forwards something other than an address, the address of the proxy counts. Otherwise each
   * spelling would have a budget of its own.
   */
  of({ ip, socket }: FastifyRequest): string {
    const proxy = socket.remoteAddress
    // A Unix socket has no address, so its clients share one budget.
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
