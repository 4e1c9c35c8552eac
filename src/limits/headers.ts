import type { FastifyReply } from 'fastify'

/** A limit of `max` requests in `windowMs` milliseconds. Clients see the name. */
export interface Limit {
  readonly name: string
  readonly max: number
  readonly windowMs: number
  /** Its item of `RateLimit-Policy`. */
  readonly policy: string
}

/** Makes a limit. Its policy rounds the window up to whole seconds: the field allows no fractions and no zero. */
export const limitOf = (name: string, max: number, windowMs: number): Limit => ({
  name,
  max,
  windowMs,
  policy: `"${name}";q=${max};w=${Math.ceil(windowMs / 1000)}`
})

/**
 * Sets the header fields of a limit. `RateLimit-Policy` and `RateLimit` are structured fields that list every limit of
 * the request (draft-ietf-httpapi-ratelimit-headers-11 sections 3 and 4, RFC 9651). Clients know the `x-ratelimit-*`
 * fields from @fastify/rate-limit. They have room for one limit: the one with the fewest requests left.
 *
 * @param remaining the requests left
 * @param seconds the whole seconds until the window ends
 */
export function setRateLimitHeaders(
  reply: FastifyReply,
  { name, max, policy }: Limit,
  remaining: number,
  seconds: number
): void {
  const state = `"${name}";r=${remaining};t=${seconds}`
  const earlier = reply.getHeader('ratelimit')
  if (earlier === undefined) {
    reply.header('ratelimit-policy', policy)
    reply.header('ratelimit', state)
  } else {
    reply.header('ratelimit-policy', `${reply.getHeader('ratelimit-policy')}, ${policy}`)
    reply.header('ratelimit', `${earlier}, ${state}`)
    if (Number(reply.getHeader('x-ratelimit-remaining')) <= remaining) return
  }
  reply.header('x-ratelimit-limit', max)
  reply.header('x-ratelimit-remaining', remaining)
  reply.header('x-ratelimit-reset', seconds)
}
