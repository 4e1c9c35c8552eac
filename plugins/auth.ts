// The package's declarations keep it; without it they would lack `request.user`.
/// <reference types="@fastify/jwt" preserve="true" />
import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { Authenticator } from '../src/auth/authenticator.ts'
import { TokenChecker } from '../src/auth/checker.ts'
import type { Key } from '../src/auth/key.ts'
import { publishedKeys, sharedSecret } from '../src/auth/key-source.ts'
import { KeyStore } from '../src/auth/keys.ts'
import type { User } from '../src/auth/user.ts'
import { createVerifier, type Verdict } from '../src/auth/verifier.ts'
import { Waiters } from '../src/auth/waiters.ts'
import { type ProblemCode, sendProblem } from '../src/http/problems.ts'
import { keyMetrics, tokenMetrics } from '../src/telemetry/auth-metrics.ts'
import { addMetrics } from '../src/telemetry/metrics.ts'
import resourceMetadata from './resource-metadata.ts'

declare module '@fastify/jwt' {
  interface FastifyJWT {
    /** `null` before authentication, and on routes with optional authentication when nobody is signed in. */
    user: User
  }
}

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * An `onRequest` hook: continues with `request.user` set, or answers 401 (RFC 6750 section 3), 429 to an address
     * with too many requests without a valid token, or 503 while the issuer's keys are unavailable.
     */
    authenticate: onRequestHookHandler
    /**
     * An `onRequest` hook that lets an anonymous caller through with `request.user` null. A token that does not verify
     * counts as none (`authenticateOptional()`), or is a 401 (`authenticateOptional({ rejectBadToken: true })`).
     */
    authenticateOptional(options?: { rejectBadToken?: boolean }): onRequestHookHandler
    /** Makes an `onRequest` hook, for after `authenticate`, that answers 403 unless the token grants `scope`. */
    requireScope(scope: string): onRequestHookHandler
    /** Whether there is a key to verify tokens with: false until the issuer's keys were first fetched. */
    hasKeys(): boolean
  }
  interface FastifyRequest {
    /** The key that verified the token of `user`: what outlives the request ends with it. `null` when `user` is. */
    tokenKey: Key
  }
}

/** The longest pause before a fetch of the keys, and the fetch: when a client with no place to wait may retry. */
const KEYS_RETRY_SECONDS = 2

/**
 * Verifies the caller. Decorates the instance with the hooks that routes use. Where a route is registered decides which
 * hook it gets (`routes/api/autohooks.ts`).
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
      // The request is not counted, and the caller is not anonymous: the token may be good.
      if (problem === 'keys_unavailable') return void sendProblem(reply, problem)
      // Answers of one turn of the event loop leave together. Answers that leave one by one, each waking its reader,
      // cost a flood twice the processor time.
      app.limits.anonymous(request, reply, proceed ?? (() => void setImmediate(sendProblem, reply, problem)))
    }

    type Refuse = (problem: ProblemCode, request: FastifyRequest, reply: FastifyReply, done: () => void) => void

    const hook =
      (onProblem: Refuse): onRequestHookHandler =>
      (request, reply, done) => {
        const accept = ({ user, key }: Verdict) => {
          request.user = user
          request.tokenKey = key
          done()
        }
        authenticator.authenticate(
          request,
          (conclusion) => {
            if (typeof conclusion !== 'string') accept(conclusion)
            else if (conclusion === 'no_checks_left') app.limits.refuseCheck(reply)
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
        const rejected = rejectBadToken && problem !== 'authorization_missing'
        refuse(problem, request, reply, rejected ? undefined : done)
      })
    )

    app.decorate(
      'requireScope',
      (scope): onRequestHookHandler =>
        ({ user }, reply, done) => {
          if (user.scope === null || user.scope.includes(scope)) done()
          else sendProblem(reply, 'insufficient_scope')
        }
    )
  },
  { name: 'auth', dependencies: ['rate-limit'] }
)
