// Kept in the declarations of the package, which would not bring `request.user` without it.
/// <reference types="@fastify/jwt" preserve="true" />
import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { type Conclusion, type KeySource, TokenChecker } from '../src/auth/checker.ts'
import { Key } from '../src/auth/key.ts'
import { KeyStore } from '../src/auth/keys.ts'
import { metadataUrl } from '../src/auth/resource.ts'
import { developmentSecret, macCheck, SECRET_FILE } from '../src/auth/secret.ts'
import type { User } from '../src/auth/user.ts'
import { createVerifier, type Verdict } from '../src/auth/verifier.ts'
import { Waiters } from '../src/auth/waiters.ts'
import { type ProblemCode, sendProblem } from '../src/errors.ts'
import { figuresOf } from '../src/figures.ts'
import { headerLines } from '../src/http/header-lines.ts'

declare module '@fastify/jwt' {
  interface FastifyJWT {
    /** `null` before authentication, and on routes with optional authentication when nobody is signed in. */
    user: User
  }
}

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * An `onRequest` hook: goes on with `request.user` set, or answers 401 (RFC 6750 section 3), or 429 to an address
     * that came too often without a valid token, or 503 while the issuer's keys cannot be had.
     */
    authenticate: onRequestHookHandler
    /**
     * An `onRequest` hook that lets an anonymous caller through with `request.user` null. A token that does not verify
     * counts as none (`authenticateOptional()`), or as a 401 (`authenticateOptional({ rejectBadToken: true })`).
     */
    authenticateOptional(options?: { rejectBadToken?: boolean }): onRequestHookHandler
    /** Makes an `onRequest` hook, for after `authenticate`, that answers 403 unless the token grants `scope`. */
    requireScope(scope: string): onRequestHookHandler
    /** Whether there is a key to verify tokens with: false until the issuer's were first obtained. */
    hasKeys(): boolean
  }
  interface FastifyRequest {
    /** The key that verified the token of `user`: what outlives the request ends with it. `null` when `user` is. */
    tokenKey: Key
  }
}

// RFC 6750 section 2.1: one scheme, in any case, and a b64token.
const BEARER = /^bearer +([\w.~+/-]+=*)$/i

/** For whoever found no place to wait for the keys: the longest pause before a fetch, and the fetch. */
const KEYS_RETRY_SECONDS = 2

/** The token of the `Authorization` header and of nowhere else, or the problem with it. */
function bearerToken(request: FastifyRequest): { token: string } | { problem: ProblemCode } {
  const { authorization } = request.headers
  if (authorization === undefined || authorization === '') return { problem: 'authorization_missing' }
  // With two lines, neither Node nor a proxy may choose.
  const lines = headerLines(request.raw.rawHeaders, 'authorization')
  const token = lines > 1 ? undefined : BEARER.exec(authorization)?.[1]
  if (token !== undefined) return { token }
  return { problem: /^bearer\b/i.test(authorization) ? 'authorization_format' : 'authorization_scheme' }
}

/** The shared secret as the one key: for every token, whatever its header says. */
async function sharedSecret(app: FastifyInstance): Promise<KeySource> {
  const { auth } = app.config
  if (auth.secret === undefined) app.log.warn(`BETTER_AUTH_SECRET is not set: using the one kept in ${SECRET_FILE}`)

  const secret = auth.secret ?? developmentSecret()
  await app.register(fastifyJwt, {
    secret,
    // The library checks the signature; what the header and the claims may say is decided in src/auth, since its own
    // checks let absent and ill-typed claims pass and its cache remembers failures.
    verify: { algorithms: ['HS256', 'HS384', 'HS512'], ignoreExpiration: true, ignoreNotBefore: true, cache: false }
  })

  const algorithm = String(auth.algorithms[0])
  const hasMac = macCheck(secret, algorithm)
  const key = new Key(algorithm, (token) => {
    if (!hasMac(token)) return false
    try {
      app.jwt.verify(token)
      return true
    } catch {
      return false
    }
  })
  app.decorate('hasKeys', () => true)
  const always = () => key
  return { version: 0, held: always, ask: always, recheck: () => undefined }
}

/** The keys that the issuer publishes at `url`, fetched while the application starts and runs. */
function publishedKeys(app: FastifyInstance, url: string): KeySource {
  const { auth } = app.config
  if (auth.secretIgnored) {
    app.log.warn(
      'BETTER_AUTH_SECRET is ignored: tokens are verified with the published keys (ALGORITHM=HS256 would use it)'
    )
  }
  app.log.info(`tokens are verified with the keys that are published at ${url}`)
  const store = new KeyStore(url, auth.algorithms, app.log)
  app.addHook('onClose', async () => store.close())
  // @fastify/jwt would decorate this; here it has an instance for each key (src/auth/signature.ts).
  app.decorateRequest('user', null as never)
  app.decorate('hasKeys', () => store.hasKeys())
  figuresOf(app).push(
    { name: 'keys', help: 'Published keys that are held', kind: 'gauge', read: () => store.stats().held },
    {
      name: 'keys_age_seconds',
      help: 'Since the keys were last fetched; of no meaning while there are none',
      kind: 'gauge',
      read: () => store.stats().ageSeconds
    },
    {
      name: 'key_fetches_total',
      help: 'Fetches of the published keys',
      kind: 'counter',
      read: () => store.stats().fetches
    },
    {
      name: 'key_fetch_failures_total',
      help: 'Fetches of the published keys that failed',
      kind: 'counter',
      read: () => store.stats().failures
    }
  )

  // RFC 9728 section 5.1: whoever is refused learns where to read what this resource wants.
  app.addHook('onSend', (request, reply, _payload, done) => {
    const challenge = reply.getHeader('www-authenticate')
    const metadata = challenge === undefined ? undefined : metadataUrl(auth, request)
    if (metadata !== undefined) {
      reply.header(
        'www-authenticate',
        `${challenge}${challenge === 'Bearer' ? '' : ','} resource_metadata="${metadata}"`
      )
    }
    done()
  })
  return store
}

/**
 * Verifies the caller. Decorates the instance with the hooks that routes use; which routes do is decided by where they
 * are registered (`routes/api/autohooks.ts`).
 */
export default fp(
  async (app) => {
    const { auth } = app.config
    const keys = auth.jwksUrl === undefined ? await sharedSecret(app) : publishedKeys(app, auth.jwksUrl)
    const verifier = createVerifier(auth)
    const waiters = new Waiters(app.config.requestsMax)
    const checker = new TokenChecker(verifier, keys, app.limits.verification, waiters)
    app.decorateRequest('tokenKey', null as never)
    figuresOf(app).push(
      {
        name: 'tokens_total',
        help: 'Tokens that were known, and that had to be checked',
        kind: 'counter',
        label: 'how',
        read: () => {
          const { hits, checks } = verifier.stats()
          return { known: hits, checked: checks }
        }
      },
      {
        name: 'tokens_remembered',
        help: 'Verified tokens in the cache',
        kind: 'gauge',
        read: () => verifier.stats().remembered
      },
      {
        name: 'key_waiters',
        help: 'Requests that wait for a fetch of the published keys',
        kind: 'gauge',
        read: () => waiters.count
      }
    )

    type Settle = (
      outcome: Verdict | ProblemCode,
      request: FastifyRequest,
      reply: FastifyReply,
      done: () => void
    ) => void

    // With callbacks, not promises: a verified token that is seen again must not cost a turn of the event loop.
    const hook =
      (settle: Settle): onRequestHookHandler =>
      (request, reply, done) => {
        const bearer = bearerToken(request)
        if ('problem' in bearer) return settle(bearer.problem, request, reply, done)
        const verdict = verifier.known(bearer.token)
        if (verdict !== undefined) return settle(verdict, request, reply, done)
        const candidate = verifier.examine(bearer.token)
        if (typeof candidate === 'string') return settle(candidate, request, reply, done)
        const conclude = (conclusion: Conclusion) => {
          if (conclusion === 'no_checks_left') app.limits.refuseCheck(reply)
          else if (conclusion === 'no_place_left')
            sendProblem(reply.header('retry-after', KEYS_RETRY_SECONDS), 'keys_unavailable')
          else settle(conclusion, request, reply, done)
        }
        const conclusion = checker.check(candidate, app.limits.addressOf(request))
        if (conclusion instanceof Promise) conclusion.then(conclude, done)
        else conclude(conclusion)
      }

    const accept = ({ user, key }: Verdict, request: FastifyRequest, done: () => void) => {
      request.user = user
      request.tokenKey = key
      done()
    }

    /** What did not verify: counted against its address, then answered, or let through as anonymous by `proceed`. */
    const refuse = (problem: ProblemCode, request: FastifyRequest, reply: FastifyReply, proceed?: () => void) => {
      // Nobody can tell yet whether the token is good, which is not the caller's fault and makes nobody anonymous.
      if (problem === 'keys_unavailable') return void sendProblem(reply, problem)
      // After all that this turn of the event loop brought has been looked at: answers that leave one by one, each
      // waking its reader, cost twice the processor time of a flood that is answered together.
      app.limits.anonymous(request, reply, proceed ?? (() => void setImmediate(sendProblem, reply, problem)))
    }

    app.decorate(
      'authenticate',
      hook((outcome, request, reply, done) => {
        if (typeof outcome === 'string') return refuse(outcome, request, reply)
        accept(outcome, request, done)
      })
    )

    app.decorate('authenticateOptional', ({ rejectBadToken = false } = {}) =>
      hook((outcome, request, reply, done) => {
        if (typeof outcome === 'string') {
          const rejected = rejectBadToken && outcome !== 'authorization_missing'
          return refuse(outcome, request, reply, rejected ? undefined : done)
        }
        accept(outcome, request, done)
      })
    )

    app.decorate(
      'requireScope',
      (scope: string): onRequestHookHandler =>
        (request, reply, done) => {
          if (request.user.scope === null || request.user.scope.includes(scope)) done()
          else sendProblem(reply, 'insufficient_scope')
        }
    )
  },
  { name: 'auth', dependencies: ['rate-limit'] }
)
