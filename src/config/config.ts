import { envSchema } from 'env-schema'
import { KEY_ALGORITHMS, SECRET_ALGORITHMS } from './algorithms.ts'
import { readDotenv } from './dotenv.ts'
import { Environment } from './environment.ts'
import { ConfigError } from './error.ts'
import { mistyped } from './mistyped.ts'
import { conflicts, databaseConflicts, durationMs, expectation, usesKeys } from './rules.ts'

const MEGABYTE = 1_000_000

export { ConfigError }

/** What the service runs on. Made once, frozen, and passed to whoever needs it. */
export type Config = ReturnType<typeof toConfig>

const budgetOf = (text: string) => (text === 'off' ? null : Number(text))

// Values that may hold a password are not repeated in an error.
const isSecret = (name: string) => /_(?:SECRET|URL|ENDPOINT)$/.test(name)

/** Where a Better Auth server is, by its own rule (its `withPath`): a path in its URL is its whole base path. */
function betterAuthBase(text: string): string {
  const { origin, pathname } = new URL(text)
  return origin + (pathname.replace(/\/+$/, '') || '/api/auth')
}

/** The rules of the verifier (`src/auth`), from variables that `conflicts` found consistent. */
function authConfig(env: Environment) {
  const keys = usesKeys(env)
  const base = env.BETTER_AUTH_URL === undefined || !keys ? undefined : betterAuthBase(env.BETTER_AUTH_URL)
  const origin = base === undefined ? [] : [new URL(base).origin]
  const or = (given: readonly string[], otherwise: readonly string[]) => (given.length > 0 ? given : otherwise)
  return Object.freeze({
    /** The algorithms that a token may name; the key decides which of them it must. */
    algorithms: or(env.ALGORITHM, keys ? KEY_ALGORITHMS : SECRET_ALGORITHMS.slice(0, 1)),
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

const toConfig = (env: Environment, warnings: readonly string[]) =>
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
    auth: authConfig(env),
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
  return toConfig(env, warnings)
}
