import fastifyRateLimit, { type RateLimitOptions } from '@fastify/rate-limit'
import { parse as parseDuration } from '@lukeed/ms'
import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import type { User } from '../src/auth/user.ts'
import { sendProblem } from '../src/http/problems.ts'
import { ClientAddresses } from '../src/limits/address.ts'
import { type Limit, limitOf, tell } from '../src/limits/headers.ts'
import { MemoryStore } from '../src/limits/memory.ts'
import { CHECKS_PER_SECOND, VerificationBudget } from '../src/limits/verification-budget.ts'
import { addMetrics } from '../src/telemetry/metrics.ts'

type Next = (error?: Error) => void

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * An `onRequest` hook for after authentication: counts the request against its user, and answers 429 past the
     * budget. An anonymous caller that optional authentication let through was counted there, and passes.
     */
    limitUser: onRequestHookHandler
    limits: {
      /** Counts a request without a valid token against its address: calls `next`, or answers 429 past the budget. */
      anonymous(request: FastifyRequest, reply: FastifyReply, next: Next): void
      /** Whom a request without a valid token counts against. */
      addressOf(request: FastifyRequest): string
      /** How many signatures may be checked for an address. */
      verification: VerificationBudget
      /** Answers 429 to a request whose signature may not be checked now. */
      refuseCheck(reply: FastifyReply): void
      /** Whether this instance limits on its own, because Redis does not answer. */
      degraded(): boolean
    }
  }
}

const SECOND_MS = 1000
const SIGNATURES = limitOf('signatures', CHECKS_PER_SECOND, SECOND_MS)

/**
 * The limit that a route declares as `config.rateLimit`: of what @fastify/rate-limit takes there, these two members.
 */
function ownLimit(options: RateLimitOptions | false, url: string): Limit {
  const { max, timeWindow, ...others } = options || {}
  const windowMs = typeof timeWindow === 'string' ? parseDuration(timeWindow) : timeWindow
  const fits = Number.isInteger(max) && Number(max) >= 1 && Number(windowMs) >= 1 && Object.keys(others).length === 0
  if (!fits) throw new Error(`${url}: rateLimit takes max, a whole number from 1, and timeWindow, a duration, alone`)
  return limitOf('route', Number(max), Number(windowMs))
}

/** What `createRateLimit` says of a caller who is on no allow list, which we have none of. */
type Verdict = Exclude<Awaited<ReturnType<ReturnType<FastifyInstance['createRateLimit']>>>, { isAllowed: true }>

/** Imported here, because an instance that counts alone needs no Redis client. */
async function connect(app: FastifyInstance, url: string) {
  const { openRedis } = await import('../src/limits/redis.ts')
  const redis = await openRedis(url, app.log)
  app.addHook('onClose', async () => redis.close())
  return redis
}

const pass = (_request: FastifyRequest, _reply: FastifyReply, next: Next): void => next()

const userOf = ({ user }: FastifyRequest) => `user:${user.sub}`

/**
 * Limits requests in two tiers: those without a valid token by their address, and with them the signatures that are
 * checked for it, and those of a user by the verified `sub`, on any address and token. A route's own limit (`config: {
 * rateLimit: { max, timeWindow } }`) counts beside them, for the user or else for the address.
 *
 * The auth plugin asks for the first tier; the second is a hook for after it. Public routes have neither.
 */
export default fp(
  async (app) => {
    const { max, anonymousMax, windowMs, redisUrl } = app.config.rateLimit
    const redis = redisUrl === undefined ? undefined : await connect(app, redisUrl)
    const degraded = redis?.degraded ?? (() => false)
    const addresses = new ClientAddresses(app.log)
    const addressOf = (request: FastifyRequest) => addresses.of(request)
    const callerOf = (request: FastifyRequest) => {
      const user: User | null = request.user
      return user === null ? addressOf(request) : userOf(request)
    }

    const refused: Record<string, number> = { anonymous: 0, signatures: 0, user: 0, route: 0 }
    addMetrics(
      app,
      {
        name: 'limited_total',
        help: 'Requests that were refused (429), by limit',
        kind: 'counter',
        label: 'limit',
        read: () => refused
      },
      {
        name: 'limits_degraded',
        help: 'Whether this instance counts alone, because Redis does not answer',
        kind: 'gauge',
        read: () => Number(degraded())
      }
    )
    const tooMany = (reply: FastifyReply, limit: Limit, seconds: number) => {
      refused[limit.name] = Number(refused[limit.name]) + 1
      tell(reply, limit, 0, seconds)
      reply.header('retry-after', seconds)
      sendProblem(reply, 'rate_limited')
    }

    // In a context of its own: the library's route hook would count a route's own limit once more.
    await app.register(async (scope) => {
      await scope.register(fastifyRateLimit, { global: false, store: redis?.Store ?? MemoryStore })

      /** Makes what counts a request and goes on, or answers 429. `sync` gets what is used up, and for how many ms. */
      const limiter = (
        limit: Limit,
        keyOf: (request: FastifyRequest) => string,
        sync?: (request: FastifyRequest, used: number, ttl: number) => void
      ) => {
        const options = { max: limit.max, timeWindow: limit.windowMs, keyGenerator: keyOf }
        const count = scope.createRateLimit(options) as (request: FastifyRequest) => Promise<Verdict>
        return (request: FastifyRequest, reply: FastifyReply, next: Next): void => {
          count(request).then(({ isExceeded, remaining, ttl }) => {
            const seconds = Math.max(1, Math.ceil(ttl / SECOND_MS))
            sync?.(request, limit.max - remaining, ttl)
            if (isExceeded) return tooMany(reply, limit, seconds)
            tell(reply, limit, remaining, seconds)
            next()
          }, next)
        }
      }

      const countUser = max === null ? pass : limiter(limitOf('user', max, windowMs), userOf)
      app.decorate('limitUser', (request, reply, done) => {
        const user: User | null = request.user
        if (user === null) done()
        else countUser(request, reply, done)
      })

      const verification = new VerificationBudget(anonymousMax, windowMs)
      const sync = (request: FastifyRequest, used: number, ttl: number) =>
        verification.sync(addressOf(request), used, ttl)
      app.decorate('limits', {
        anonymous:
          anonymousMax === null ? pass : limiter(limitOf('anonymous', anonymousMax, windowMs), addressOf, sync),
        addressOf,
        verification,
        refuseCheck: (reply) => tooMany(reply, SIGNATURES, 1),
        degraded
      })

      // HEAD is its GET without the body, and shares its budget.
      const own = new Map<string, onRequestHookHandler>()
      app.addHook('onRoute', (route) => {
        const options = route.config?.rateLimit
        if (options === undefined) return
        const name = `${[route.method].flat().join()} ${route.url}`.replace(/^HEAD /, 'GET ')
        const limit = own.get(name) ?? limiter(ownLimit(options, name), (request) => `${name} ${callerOf(request)}`)
        own.set(name, limit)
        route.onRequest = [...[route.onRequest ?? []].flat(), limit]
      })
    })
  },
  { name: 'rate-limit' }
)
