import fastifyRateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import type { User } from '../src/auth/user.ts'
import { ClientAddresses } from '../src/limits/address.ts'
import { limitOf } from '../src/limits/headers.ts'
import { type CountRequest, Limiter, routeLimit } from '../src/limits/limiter.ts'
import { MemoryStore } from '../src/limits/memory.ts'
import { CHECKS_PER_SECOND, VerificationBudget } from '../src/limits/verification-budget.ts'
import { limitMetrics } from '../src/telemetry/limit-metrics.ts'
import { addMetrics } from '../src/telemetry/metrics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * An `onRequest` hook for after authentication. Counts the request against its user, and answers 429 past the
     * budget. It lets an anonymous caller through, because optional authentication has already counted the request.
     */
    limitUser: onRequestHookHandler
    limits: {
      /** Counts a request without a valid token against its address. Calls `next`, or answers 429 past the budget. */
      anonymous: CountRequest
      /** Returns the address that a request without a valid token counts against. */
      addressOf(request: FastifyRequest): string
      /** Limits the signature checks of each address. */
      verification: VerificationBudget
      /** Answers 429 to a request whose signature may not be checked now. */
      refuseCheck(reply: FastifyReply): void
      /** Whether this instance counts alone, because Redis does not answer. */
      degraded(): boolean
    }
  }
}

const SIGNATURES = limitOf('signatures', CHECKS_PER_SECOND, 1000)

/** Opens Redis. The import is in the function because an instance without Redis needs no client. */
async function connect(app: FastifyInstance, url: string) {
  const { RedisLimits, redisStoreOf } = await import('../src/limits/redis.ts')
  const redis = await RedisLimits.open(url, app.log)
  app.addHook('onClose', async () => redis.close())
  return { Store: redisStoreOf(redis), degraded: () => redis.degraded }
}

const noLimit: CountRequest = (_request, _reply, next) => next()

const userKey = ({ user }: FastifyRequest) => `user:${user.sub}`

/** Adds a counting hook to each route that declares a limit. It counts for the user, or else for the address. */
function limitRoutes(app: FastifyInstance, limiter: Limiter, addressOf: (request: FastifyRequest) => string): void {
  const keyOf = (request: FastifyRequest) => {
    const user: User | null = request.user
    return user === null ? addressOf(request) : userKey(request)
  }
  // A HEAD shares the budget of its GET.
  const counters = new Map<string, CountRequest>()
  app.addHook('onRoute', (route) => {
    const options = route.config?.rateLimit
    if (options === undefined) return
    const name = `${[route.method].flat().join()} ${route.url}`.replace(/^HEAD /, 'GET ')
    const count =
      counters.get(name) ?? limiter.counter(routeLimit(options, name), (request) => `${name} ${keyOf(request)}`)
    counters.set(name, count)
    route.onRequest = [...[route.onRequest ?? []].flat(), count]
  })
}

/**
 * Limits requests in two tiers. First, requests without a valid token count against their address, and so do their
 * signature checks. Second, requests with a valid token count against its `sub`, whatever the address and the token. A
 * route's own limit (`config: { rateLimit: { max, timeWindow } }`) applies in addition.
 *
 * The auth plugin calls the first tier. The second tier is a hook that runs after authentication. Public routes have
 * neither.
 */
export default fp(
  async (app) => {
    const { max, anonymousMax, windowMs, redisUrl } = app.config.rateLimit
    const redis = redisUrl === undefined ? undefined : await connect(app, redisUrl)
    const degraded = redis?.degraded ?? (() => false)
    const addresses = new ClientAddresses(app.log)
    const addressOf = (request: FastifyRequest) => addresses.of(request)

    // A separate context keeps the library's route hook away. It would count a route's own limit a second time.
    await app.register(async (scope) => {
      await scope.register(fastifyRateLimit, { global: false, store: redis?.Store ?? MemoryStore })
      const limiter = new Limiter(scope)
      const countUser = max === null ? noLimit : limiter.counter(limitOf('user', max, windowMs), userKey)
      app.decorate('limitUser', (request, reply, done) => {
        const user: User | null = request.user
        if (user === null) done()
        else countUser(request, reply, done)
      })

      const verification = new VerificationBudget(anonymousMax, windowMs)
      const anonymous =
        anonymousMax === null
          ? noLimit
          : limiter.counter(limitOf('anonymous', anonymousMax, windowMs), addressOf, (request, used, ttl) =>
              verification.sync(addressOf(request), used, ttl)
            )
      const refuseCheck = (reply: FastifyReply) => limiter.refuse(reply, SIGNATURES, 1)
      app.decorate('limits', { anonymous, addressOf, verification, refuseCheck, degraded })
      limitRoutes(app, limiter, addressOf)
      addMetrics(app, ...limitMetrics(limiter, degraded))
    })
  },
  { name: 'rate-limit' }
)
