// `preserve` keeps this reference in the package's declarations. Without it they would lack `request.user`.
/// <reference types="@fastify/jwt" preserve="true" />
import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { Authenticator } from '../src/auth/authenticator.ts'
import { TokenChecker } from '../src/auth/checker.ts'
import type { Key } from '../src/auth/key.ts'
import { publishedKeys, sharedSecret } from '../src/auth/key-source.ts'
import { KeyStore } from '../src/auth/keys.ts'
import { grants, type User } from '../src/auth/user.ts'
import { createVerifier } from '../src/auth/verifier.ts'
import { Waiters } from '../src/auth/waiters.ts'
import { type ProblemCode, sendProblem } from '../src/http/problems.ts'
import { keyMetrics, tokenMetrics } from '../src/telemetry/auth-metrics.ts'
import { addMetrics } from '../src/telemetry/metrics.ts'
import resourceMetadata from './resource-metadata.ts'

declare module '@fastify/jwt' {
  interface FastifyJWT {
    /** The verified caller. `null` before authentication, and for an anonymous caller. */
    user: User
  }
}

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * An `onRequest` hook that sets `request.user`. Without a valid token it answers 401 (RFC 6750 section 3), or 429
     * when the address has sent too many such requests. While the issuer's keys are unavailable it answers 503.
     */
    authenticate: onRequestHookHandler
    /**
     * Makes an `onRequest` hook that lets an anonymous caller through, with `request.user` null. A caller whose token
     * is not valid is anonymous too, unless `rejectBadToken` is set: then the answer is 401.
     */
    authenticateOptional(options?: { rejectBadToken?: boolean }): onRequestHookHandler
    /** Makes an `onRequest` hook, for after `authenticate`, that answers 403 unless the token grants `scope`. */
    requireScope(scope: string): onRequestHookHandler
    /** Whether there is a key to verify tokens with. False until the issuer's keys were first fetched. */
    hasKeys(): boolean
  }
  interface FastifyRequest {
    /**
     * The key that verified the token of `user`, or `null` without a user. Work that outlives the request, such as a
     * stream, ends when the key is withdrawn.
     */
    tokenKey: Key
  }
}

/** `Retry-After` for a client that cannot wait for the keys: the longest pause before a fetch, plus the fetch. */
const KEYS_RETRY_SECONDS = 2

/**
 * Verifies the caller. Decorates the instance with hooks for routes. The folder of a route decides which hook it gets
 * (`routes/api/autohooks.ts`).
 */
export default fp(
  async (app) => {
    const { auth, requestsMax } = app.config
    const keys = auth.jwksUrl === undefined ? await sharedSecret(app) : publishedKeys(app, auth.jwksUrl)
    await app.register(resourceMetadata)
    const verifier = createVerifier(auth)
    const waiters = new Waiters(requestsMax)
    const checker = new TokenChecker(verifier, keys, app.limits.verification, waiters)
    const authenticator = new Authenticator(verifier, checker, (request) => app.limits.addressOf(request))
    addMetrics(app, ...tokenMetrics(verifier, waiters))
    if (keys instanceof KeyStore) addMetrics(app, ...keyMetrics(keys))
    app.decorate('hasKeys', () => keys.hasKeys())
    app.decorateRequest('tokenKey', null as never)

    /** Counts a request without a valid token against its address, then answers it, or calls `proceed`. */
    const refuse = (problem: ProblemCode, request: FastifyRequest, reply: FastifyReply, proceed?: () => void) => {
      // The token may be valid. Do not count the request, and do not treat the caller as anonymous.
      if (problem === 'keys_unavailable') return void sendProblem(reply, problem)
      // `setImmediate` sends the answers of one turn of the event loop together. Under a flood of requests, answers
      // that are sent one by one cost twice the processor time, because each of them wakes its reader.
      app.limits.anonymous(request, reply, proceed ?? (() => void setImmediate(sendProblem, reply, problem)))
    }

    const hook =
      (onProblem: typeof refuse): onRequestHookHandler =>
      (request, reply, done) => {
        authenticator.authenticate(
          request,
          (conclusion) => {
            if (typeof conclusion !== 'string') {
              request.user = conclusion.user
              request.tokenKey = conclusion.key
              done()
            } else if (conclusion === 'no_checks_left') app.limits.refuseCheck(reply)
            else if (conclusion === 'no_place_left') {
              sendProblem(reply.header('retry-after', KEYS_RETRY_SECONDS), 'keys_unavailable')
            } else onProblem(conclusion, request, reply, done)
          },
          done
        )
      }

    const required = hook((problem, request, reply) => refuse(problem, request, reply))
    app.decorate('authenticate', required)
    app.decorate('authenticateOptional', ({ rejectBadToken = false } = {}) =>
      hook((problem, request, reply, done) => {
        const proceed = rejectBadToken && problem !== 'authorization_missing' ? undefined : done
        refuse(problem, request, reply, proceed)
      })
    )

    app.decorate(
      'requireScope',
      (scope): onRequestHookHandler =>
        ({ user }, reply, done) => {
          if (grants(user, scope)) done()
          else sendProblem(reply, 'insufficient_scope')
        }
    )
  },
  { name: 'auth', dependencies: ['rate-limit'] }
)
