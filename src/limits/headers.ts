import type { FastifyReply } from 'fastify'

/** So many requests in so many milliseconds, under the name that clients see. */
export interface Limit {
  readonly name: string
  readonly max: number
  readonly windowMs: number
  /** Its item of `RateLimit-Policy`. */
  readonly policy: string
}

/** Makes a limit. Its policy says the window in whole seconds, since the field has no fractions and no zero. */
export const limitOf = (name: string, max: number, windowMs: number): Limit => ({
  name,
  max,
  windowMs,
  policy: `"${name}";q=${max};w=${Math.ceil(windowMs / 1000)}`
})

/**
 * Tells the client of a limit: `RateLimit-Policy` and `RateLimit`, structured fields
 * (draft-ietf-httpapi-ratelimit-headers-11 sections 3 and 4, RFC 9651) that list every limit of the request, and the
 * `x-ratelimit-*` that clients know from
 * @fastify/rate-limit, which have room for one: the limit with the least left.
 *
 * @param remaining requests left
 * @param seconds until the budget is whole again, a whole number
 */
export function tell(reply: FastifyReply, { name, max, policy }: Limit, remaining: number, seconds: number): void {
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
