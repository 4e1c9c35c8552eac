import { isIP } from 'node:net'
import { parse as parseDuration } from '@lukeed/ms'
import type { TSchema } from '@sinclair/typebox'
import { envSchema } from 'env-schema'
import { ConfigError } from './config-error.ts'
import { parameterFaults } from './database-url.ts'
import { readDotenv } from './dotenv.ts'
import { Environment, KEY_ALGORITHMS, SECRET_ALGORITHMS, SECRET_MIN_BYTES } from './environment.ts'
import { originFault } from './http/origin.ts'
import { mistyped } from './mistyped.ts'

/** The secret in `.env.example`; public, therefore refused in production. */
const EXAMPLE_SECRET = 'replace-me-with-openssl-rand-base64-32'

// Secrets that anyone can look up: our example, and the ones that Better Auth falls back to when none is set.
const PUBLIC_SECRETS = new Set([
  EXAMPLE_SECRET,
  'better-auth-secret-12345678901234567890',
  'better-auth-secret-123456789'
])
const PLACEHOLDER = /^(?:change|replace|your|example|secret|placeholder|insert|xxx)|(.)\1{15}/i

const DAY_MS = 86_400_000
const MEGABYTE = 1_000_000

export { ConfigError }

/** What the service runs on. Made once, frozen, and passed to whoever needs it. */
export type Config = ReturnType<typeof settle>

const budgetOf = (text: string) => (text === 'off' ? null : Number(text))

// Values that may hold a password are not repeated in an error.
const isSecret = (name: string) => /_(?:SECRET|URL|ENDPOINT)$/.test(name)

const isProxy = (text: string) => {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(text)) return true
  const [address = '', prefix] = text.split('/')
  const bits = isIP(address) === 4 ? 32 : isIP(address) === 6 ? 128 : 0
  // A short prefix would trust half the world, which could then name any address; fc00::/7 is the shortest private one.
  return (
    bits > 0 &&
    (prefix === undefined || (/^[1-9]\d{0,2}$/.test(prefix) && Number(prefix) >= 7 && Number(prefix) <= bits))
  )
}

/** Whether it is a URL whose user and password can be decoded. */
function isUrl(text: string): boolean {
  try {
    const { username, password } = new URL(text)
    decodeURIComponent(username + password)
    return true
  } catch {
    return false
  }
}

/** Milliseconds of `60000` or `1 minute`; NaN for what is neither. */
const durationMs = (text: string) => {
  const ms = /^\d+$/.test(text) ? Number(text) : Number(parseDuration(text))
  return Number.isInteger(ms) && ms >= 1 && ms <= DAY_MS ? ms : Number.NaN
}

const isLoopback = (host: string) => /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(host)

/** Whether tokens are verified with published keys: an HS algorithm that is asked for by name wins over them. */
const usesKeys = (env: Environment) =>
  (env.BETTER_AUTH_URL !== undefined || env.JWKS_URL !== undefined) &&
  !env.ALGORITHM.some((name) => SECRET_ALGORITHMS.includes(name))

const expectation = (name: string): string => (Environment.properties as Record<string, TSchema>)[name]?.expects

function* conflicts(env: Environment): Generator<string> {
  const bad = (name: keyof Environment, value: string) => `${name} has "${value}": set it to ${expectation(name)}.`
  for (const proxy of env.TRUST_PROXY) if (!isProxy(proxy)) yield bad('TRUST_PROXY', proxy)
  for (const origin of env.CORS_ORIGIN) {
    const fault = originFault(origin, expectation('CORS_ORIGIN'))
    if (fault !== undefined) yield fault
  }
  if (Number.isNaN(durationMs(env.RATE_LIMIT_WINDOW))) yield bad('RATE_LIMIT_WINDOW', env.RATE_LIMIT_WINDOW)
  if (!env.JWT_REQUIRED_CLAIMS.includes('sub')) {
    yield 'JWT_REQUIRED_CLAIMS has no sub: add it, since a token without a user identifies nobody.'
  }
  if (env.REDIS_URL !== undefined && !isUrl(env.REDIS_URL)) {
    yield 'REDIS_URL is not a URL: write it as redis://user:password@host:6379/0.'
  }
  if (env.OTEL_EXPORTER_OTLP_ENDPOINT !== undefined && !isUrl(env.OTEL_EXPORTER_OTLP_ENDPOINT)) {
    yield `OTEL_EXPORTER_OTLP_ENDPOINT is not right: set it to ${expectation('OTEL_EXPORTER_OTLP_ENDPOINT')}.`
  }
  for (const name of env.ALGORITHM) {
    if (!SECRET_ALGORITHMS.includes(name) && !KEY_ALGORITHMS.includes(name)) yield bad('ALGORITHM', name)
  }
  yield* usesKeys(env) ? keyConflicts(env) : secretConflicts(env)
}

function* keyConflicts(env: Environment): Generator<string> {
  for (const name of ['BETTER_AUTH_URL', 'JWKS_URL'] as const) {
    const text = env[name]
    if (text === undefined) continue
    const url = URL.canParse(text) ? new URL(text) : undefined
    if (
      url === undefined ||
      !/^https?:$/.test(url.protocol) ||
      url.username !== '' ||
      url.password !== '' ||
      url.search !== '' ||
      url.hash !== ''
    ) {
      yield `${name} is not right: set it to ${expectation(name)}.`
    } else if (env.NODE_ENV === 'production' && url.protocol === 'http:' && !isLoopback(url.hostname)) {
      yield `${name} is not https: whoever sits between could replace the keys; use https.`
    }
  }
  if (env.BETTER_AUTH_URL === undefined && env.JWT_ISSUER.length === 0) {
    yield 'JWT_ISSUER is missing: JWKS_URL alone does not say who issues the tokens; set it to the accepted iss.'
  }
}

function* secretConflicts(env: Environment): Generator<string> {
  const asymmetric = env.ALGORITHM.filter((name) => KEY_ALGORITHMS.includes(name))
  if (asymmetric.length > 0 && asymmetric.length < env.ALGORITHM.length) {
    yield 'ALGORITHM mixes shared-secret and published-key algorithms: keep one kind, since accepting both lets a public key pass for a secret.'
  } else if (asymmetric.length > 0) {
    yield `ALGORITHM is ${asymmetric.join(', ')}, which needs published keys: set BETTER_AUTH_URL or JWKS_URL, or remove it.`
  } else if (env.ALGORITHM.length > 1) {
    yield 'ALGORITHM has several values: one secret signs with one algorithm; keep one.'
  }
  const secret = env.BETTER_AUTH_SECRET
  const make = 'make one with: openssl rand -base64 32'
  if (secret === undefined) {
    if (env.NODE_ENV === 'production') {
      yield `BETTER_AUTH_SECRET is missing: set it to the secret of your issuer (${make}), or set BETTER_AUTH_URL.`
    }
  } else if (Buffer.byteLength(secret) < SECRET_MIN_BYTES) {
    yield `BETTER_AUTH_SECRET is shorter than ${SECRET_MIN_BYTES} bytes: ${make}`
  } else if (env.NODE_ENV === 'production' && (PUBLIC_SECRETS.has(secret) || PLACEHOLDER.test(secret))) {
    yield `BETTER_AUTH_SECRET is a placeholder or publicly known: ${make}`
  }
}

function* databaseConflicts(env: Environment, given: NodeJS.ProcessEnv): Generator<string> {
  const url = env.DATABASE_URL
  if (!url.startsWith('pglite:') && !isUrl(url)) {
    yield 'DATABASE_URL is not a URL: write it as postgres://user:password@host:5432/database.'
  } else if (!url.startsWith('pglite:')) {
    yield* parameterFaults(url)
  }
  if (env.NODE_ENV === 'production' && given.DATABASE_URL === undefined) {
    yield 'DATABASE_URL is missing: production uses the embedded database only when asked by name (pglite://folder).'
  }
}

/** Where a Better Auth server is, by its own rule (its `withPath`): a path in its URL is its whole base path. */
function betterAuthBase(text: string): string {
  const { origin, pathname } = new URL(text)
  return origin + (pathname.replace(/\/+$/, '') || '/api/auth')
}

/** The rules of the verifier (`src/auth`), from variables that `conflicts` found consistent. */
function settleAuth(env: Environment) {
  const keys = usesKeys(env)
  const base = env.BETTER_AUTH_URL === undefined || !keys ? undefined : betterAuthBase(env.BETTER_AUTH_URL)
  const origin = base === undefined ? [] : [new URL(base).origin]
  const or = (given: readonly string[], otherwise: readonly string[]) => (given.length > 0 ? given : otherwise)
  return Object.freeze({
    /** The algorithms that a token may name; the key decides which of them it must. */
    algorithms: or(env.ALGORITHM, keys ? KEY_ALGORITHMS : ['HS256']),
    secret: keys ? undefined : env.BETTER_AUTH_SECRET,
    secretIgnored: keys && env.BETTER_AUTH_SECRET !== undefined,
    /** Where the keys are published; undefined in the shared-secret mode. */
    jwksUrl: keys ? (env.JWKS_URL ?? `${base}/jwks`) : undefined,
    issuers: or(env.JWT_ISSUER, origin),
    audiences: or(env.JWT_AUDIENCE, origin),
    /** Issuers of OAuth access tokens (RFC 9068); empty while those are off. */
    oauthIssuers: keys && env.JWT_AUDIENCE.length > 0 ? or(env.JWT_ISSUER, [`${base}`]) : [],
    requiredClaims: env.JWT_REQUIRED_CLAIMS,
    clockToleranceSeconds: env.JWT_CLOCK_TOLERANCE_SECONDS,
    maxLifetimeSeconds: env.ACCESS_TOKEN_EXPIRE_MINUTES * 60
  })
}

const settle = (env: Environment, warnings: readonly string[]) =>
  Object.freeze({
    /** Sentences about what was given and has no effect. */
    warnings: Object.freeze(warnings),
    production: env.NODE_ENV === 'production',
    // For `localhost` Fastify opens a server for each of its addresses, and the second has none of our listeners.
    host: env.HOST === 'localhost' ? '127.0.0.1' : env.HOST,
    port: env.PORT,
    keepAliveMs: env.KEEP_ALIVE_SECONDS * 1000,
    logLevel: env.LOG_LEVEL,
    logSecret: env.LOG_SECRET,
    requestsMax: env.REQUESTS_MAX,
    unsent: Object.freeze({
      perUserMax: env.REQUESTS_PER_USER_MAX,
      perUserBytesMax: env.UNSENT_PER_USER_MAX_MB * MEGABYTE,
      bytesMax: env.UNSENT_MAX_MB * MEGABYTE
    }),
    // Nobody sends a development server requests by its readiness.
    shutdownDelayMs: env.NODE_ENV === 'production' ? env.SHUTDOWN_DELAY_MS : 0,
    metrics:
      env.METRICS_PORT === undefined ? undefined : Object.freeze({ host: env.METRICS_HOST, port: env.METRICS_PORT }),
    tracesEndpoint: env.OTEL_EXPORTER_OTLP_ENDPOINT,
    trustProxy: env.TRUST_PROXY,
    corsOrigin: env.CORS_ORIGIN,
    docs: env.DOCS === 'on',
    database: Object.freeze({
      url: env.DATABASE_URL,
      poolMax: env.DATABASE_POOL_MAX,
      prepare: env.DATABASE_PREPARE === 'true',
      rls: env.DATABASE_RLS === 'true',
      statementTimeoutMs: env.DATABASE_STATEMENT_TIMEOUT_MS
    }),
    userStorageMaxBytes: (budgetOf(env.USER_STORAGE_MAX_MB) ?? Number.POSITIVE_INFINITY) * 2 ** 20,
    auth: settleAuth(env),
    rateLimit: Object.freeze({
      max: budgetOf(env.RATE_LIMIT_MAX),
      anonymousMax: budgetOf(env.RATE_LIMIT_ANONYMOUS_MAX),
      windowMs: durationMs(env.RATE_LIMIT_WINDOW),
      redisUrl: env.REDIS_URL
    }),
    streams: Object.freeze({ perUserMax: env.STREAMS_PER_USER_MAX, max: env.STREAMS_MAX })
  })

/** `.env` of the working directory, in development only; what the process was given wins over it. */
function withDotenv(given: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  if (given.NODE_ENV !== undefined && given.NODE_ENV !== 'development') return given
  return { ...readDotenv(), ...given }
}

const LISTS = (Object.keys(Environment.properties) as (keyof Environment)[]).filter(
  (name) => 'separator' in Environment.properties[name]
) as { [K in keyof Environment]-?: Environment[K] extends string[] ? K : never }[keyof Environment][]

/** Types, bounds and defaults, by the schema. Returns the names of the variables that do not fit instead, if any. */
function parse(data: NodeJS.ProcessEnv): Environment | Set<string> {
  try {
    return envSchema<Environment>({
      schema: Environment,
      data,
      env: false,
      ajv: { customOptions: (ajv) => ajv.addKeyword('expects') }
    })
  } catch (error) {
    const { errors } = error as { errors: { instancePath: string }[] }
    return new Set(errors.map(({ instancePath }) => instancePath.slice(1)))
  }
}

/**
 * Reads, checks and freezes the configuration. An empty variable counts as unset.
 *
 * @param given the environment, `process.env` unless a test passes its own
 * @param part `database` checks only what a command needs that speaks to nothing but the database
 * @throws {ConfigError} with every fault at once
 */
export function loadConfig(given: NodeJS.ProcessEnv = process.env, part: 'all' | 'database' = 'all'): Config {
  const data = Object.fromEntries(Object.entries(withDotenv(given)).filter(([, value]) => value !== ''))
  const { warnings, faults } = mistyped(data)
  let env = parse(data)
  if (env instanceof Set) {
    for (const name of env) {
      faults.push(`${name} is ${isSecret(name) ? 'not right' : `"${data[name]}"`}: set it to ${expectation(name)}.`)
      delete data[name]
    }
    // Once more without them, so that the rules below are checked too and every fault is told at once.
    env = parse(data) as Environment
  }
  for (const name of LISTS) env[name] = env[name].map((item) => item.trim()).filter((item) => item !== '')
  if (part === 'all') faults.push(...conflicts(env))
  faults.push(...databaseConflicts(env, data))
  if (faults.length > 0) throw new ConfigError(faults)
  return settle(env, warnings)
}
