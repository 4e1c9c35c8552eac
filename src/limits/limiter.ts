import type { RateLimitOptions } from '@fastify/rate-limit'
import { parse as parseDuration } from '@lukeed/ms'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { sendProblem } from '../http/problems.ts'
import { type Limit, limitOf, setRateLimitHeaders } from './headers.ts'

export type Next = (error?: Error) => void

/** Counts a request and calls `next`, or answers 429. */
export type CountRequest = (request: FastifyRequest, reply: FastifyReply, next: Next) => void

/** Receives the number of requests that a window has counted, and the milliseconds until the window ends. */
export type Sync = (request: FastifyRequest, used: number, ttl: number) => void

/** What `createRateLimit` returns without an allow list. The service has none. */
type Verdict = Exclude<Awaited<ReturnType<ReturnType<FastifyInstance['createRateLimit']>>>, { isAllowed: true }>

/**
 * Returns the limit that a route declares as `config.rateLimit`. The only options are `max` and `timeWindow` of
 * @fastify/rate-limit.
 *
 * @throws when the route declares anything else
 */
export function routeLimit(options: RateLimitOptions | false, url: string): Limit {
  const { max, timeWindow, ...unknown } = options || {}
  const windowMs = typeof timeWindow === 'string' ? parseDuration(timeWindow) : timeWindow
  const valid = Number.isInteger(max) && Number(max) >= 1 && Number(windowMs) >= 1 && Object.keys(unknown).length === 0
  if (!valid) throw new Error(`${url}: rateLimit takes max (a whole number from 1) and timeWindow (a duration) only`)
  return limitOf('route', Number(max), Number(windowMs))
}

/** Counts requests against limits, and answers 429 to those that exceed one. */
export class Limiter {
  readonly #scope: FastifyInstance
  /** The number of refused requests by the name of the limit. */
  readonly refused: Record<string, number> = { anonymous: 0, signatures: 0, user: 0, route: 0 }

  /** @param scope a context in which @fastify/rate-limit is registered */
  constructor(scope: FastifyInstance) {
    this.#scope = scope
  }

  /** Makes the function that counts a request against a limit. Requests with the same `keyOf` share a window. */
  counter(limit: Limit, keyOf: (request: FastifyRequest) => string, sync?: Sync): CountRequest {
    const options = { max: limit.max, timeWindow: limit.windowMs, keyGenerator: keyOf }
    const count = this.#scope.createRateLimit(options) as (request: FastifyRequest) => Promise<Verdict>
    return (request, reply, next) => {
      count(request).then(({ isExceeded, remaining, ttl }) => {
        const seconds = Math.max(1, Math.ceil(ttl / 1000))
        sync?.(request, limit.max - remaining, ttl)
        if (isExceeded) return this.refuse(reply, limit, seconds)
        setRateLimitHeaders(reply, limit, remaining, seconds)
        next()
      }, next)
    }
  }

  /** Answers 429. */
  refuse(reply: FastifyReply, limit: Limit, seconds: number): void {
    this.refused[limit.name] = Number(this.refused[limit.name]) + 1
    setRateLimitHeaders(reply, limit, 0, seconds)
    sendProblem(reply.header('retry-after', seconds), 'rate_limited')
  }
}
