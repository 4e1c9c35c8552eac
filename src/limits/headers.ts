import type { FastifyReply } from 'fastify'

/** At most `max` requests in `windowMs` milliseconds. Clients see the name. */
export interface Limit {
  readonly name: string
  readonly max: number
  readonly windowMs: number
  /** Its item of `RateLimit-Policy`. */
  readonly policy: string
}

/** Makes a limit. The policy gives the window in whole seconds: the field has no fractions and no zero. */
export const limitOf = (name: string, max: number, windowMs: number): Limit => ({
  name,
  max,
  windowMs,
  policy: `"${name}";q=${max};w=${Math.ceil(windowMs / 1000)}`
})

/**
 * Sets the header fields of a limit: `RateLimit-Policy` and `RateLimit`, structured fields that list every limit of the
 * request (draft-ietf-httpapi-ratelimit-headers-11 sections 3 and 4, RFC 9651), and the `x-ratelimit-*` that clients
 * know from @fastify/rate-limit. These have room for one limit: the one with the least left.
 *
 * @param remaining requests left
 * @param seconds until the budget is whole again, a whole number
 */
export function setRateLimitHeaders(
  reply: FastifyReply,
  { name, max, policy }: Limit,
  remaining: number,
  seconds: number
): void {
  const state = `"${name}";r=${remaining};t=${seconds}`
  const before = reply.getHeader('ratelimit')
  if (before === undefined) {
    reply.header('ratelimit-policy', policy)
    reply.header('ratelimit', state)
  } else {
    reply.header('ratelimit-policy', `${reply.getHeader('ratelimit-policy')}, ${policy}`)
    reply.header('ratelimit', `${before}, ${state}`)
    if (Number(reply.getHeader('x-ratelimit-remaining')) <= remaining) return
  }
  reply.header('x-ratelimit-limit', max)
  reply.header('x-ratelimit-remaining', remaining)
  reply.header('x-ratelimit-reset', seconds)
}
