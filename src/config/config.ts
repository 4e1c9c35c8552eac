import type { Ajv } from 'ajv'
import { envSchema } from 'env-schema'
import { KEY_ALGORITHMS, SECRET_ALGORITHMS } from './algorithms.ts'
import { urlsOf } from './database-url.ts'
import { readDotenv } from './dotenv.ts'
import { Environment } from './environment.ts'
import { ConfigError } from './error.ts'
import { mistyped } from './mistyped.ts'
import { conflicts, databaseConflicts, durationMs, expectation, usesKeys } from './rules.ts'

const MEGABYTE = 1_000_000

export { ConfigError }

/** The configuration of the service. It is made once, frozen, and passed as a parameter. */
export type Config = ReturnType<typeof toConfig>

const budgetOf = (text: string) => (text === 'off' ? null : Number(text))

// An error must not repeat a value that may hold a password.
const isSecret = (name: string) => /_(?:SECRET|URLS?|ENDPOINT)$/.test(name)

/** Returns the base URL of Better Auth, by its own rule (`withPath`): a path in the URL is the whole base path. */
function betterAuthBase(text: string): string {
  const { origin, pathname } = new URL(text)
  return origin + (pathname.replace(/\/+$/, '') || '/api/auth')
}

/** Makes the settings of the verifier (`src/auth`). `conflicts` has checked the variables already. */
function authConfig(env: Environment) {
  const keys = usesKeys(env)
  const base = env.BETTER_AUTH_URL === undefined || !keys ? undefined : betterAuthBase(env.BETTER_AUTH_URL)
  const origin = base === undefined ? [] : [new URL(base).origin]
  const or = (values: readonly string[], defaults: readonly string[]) => (values.length > 0 ? values : defaults)
  return Object.freeze({
    /** The algorithms that a token may name. Each key accepts exactly one of them. */
    algorithms: or(env.ALGORITHM, keys ? KEY_ALGORITHMS : SECRET_ALGORITHMS.slice(0, 1)),
    secret: keys ? undefined : env.BETTER_AUTH_SECRET,
    secretIgnored: keys && env.BETTER_AUTH_SECRET !== undefined,
    /** The URL of the published keys; undefined in the shared-secret mode. */
    jwksUrl: keys ? (env.JWKS_URL ?? `${base}/jwks`) : undefined,
    issuers: or(env.JWT_ISSUER, origin),
    audiences: or(env.JWT_AUDIENCE, origin),
    /** Issuers of OAuth access tokens (RFC 9068); empty when those are not accepted. */
    oauthIssuers: keys && env.JWT_AUDIENCE.length > 0 ? or(env.JWT_ISSUER, [`${base}`]) : [],
    requiredClaims: env.JWT_REQUIRED_CLAIMS,
    clockToleranceSeconds: env.JWT_CLOCK_TOLERANCE_SECONDS,
    maxLifetimeSeconds: env.ACCESS_TOKEN_EXPIRE_MINUTES * 60
  })
}

const toConfig = (env: Environment, warnings: readonly string[]) =>
  Object.freeze({
    /** Sentences about variables that have no effect. */
    warnings: Object.freeze(warnings),
    production: env.NODE_ENV === 'production',
    // For `localhost` Fastify would open a server for each address, and the second would lack our event listeners.
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
    // No load balancer reads the readiness of a development server.
    shutdownDelayMs: env.NODE_ENV === 'production' ? env.SHUTDOWN_DELAY_MS : 0,
    metrics:
      env.METRICS_PORT === undefined ? undefined : Object.freeze({ host: env.METRICS_HOST, port: env.METRICS_PORT }),
    tracesEndpoint: env.OTEL_EXPORTER_OTLP_ENDPOINT,
    trustProxy: env.TRUST_PROXY,
    corsOrigin: env.CORS_ORIGIN,
    docs: env.DOCS === 'on',
    database: Object.freeze({
      url: env.DATABASE_URL,
      /** Every node on which an instance listens for changes. */
      listenUrls: Object.freeze(
        env.DATABASE_LISTEN_URLS === undefined ? [env.DATABASE_URL] : urlsOf(env.DATABASE_LISTEN_URLS)
      ),
      poolMax: env.DATABASE_POOL_MAX,
      prepare: env.DATABASE_PREPARE === 'true',
      rls: env.DATABASE_RLS === 'true',
      statementTimeoutMs: env.DATABASE_STATEMENT_TIMEOUT_MS
    }),
    userStorageMaxBytes: (budgetOf(env.USER_STORAGE_MAX_MB) ?? Number.POSITIVE_INFINITY) * 2 ** 20,
    tasksPerUserMax: budgetOf(env.TASKS_PER_USER_MAX),
    auth: authConfig(env),
    rateLimit: Object.freeze({
      max: budgetOf(env.RATE_LIMIT_MAX),
      anonymousMax: budgetOf(env.RATE_LIMIT_ANONYMOUS_MAX),
      windowMs: durationMs(env.RATE_LIMIT_WINDOW),
      redisUrl: env.REDIS_URL
    }),
    streams: Object.freeze({ perUserMax: env.STREAMS_PER_USER_MAX, max: env.STREAMS_MAX })
  })

/** Adds `.env` of the working directory, in development only. The variables of the process take precedence. */
function withDotenv(variables: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  if (variables.NODE_ENV !== undefined && variables.NODE_ENV !== 'development') return variables
  return { ...readDotenv(), ...variables }
}

const LISTS = (Object.keys(Environment.properties) as (keyof Environment)[]).filter(
  (name) => 'separator' in Environment.properties[name]
) as { [K in keyof Environment]-?: Environment[K] extends string[] ? K : never }[keyof Environment][]

/** What env-schema validates with. It is kept, because it keeps the schema that it has compiled. */
let ajv: Ajv | undefined

/** Applies the schema's types, bounds and defaults. If variables do not fit, it returns their names instead. */
function parse(data: NodeJS.ProcessEnv): Environment | Set<string> {
  try {
    return envSchema<Environment>({
      schema: Environment,
      data,
      env: false,
      ajv: ajv ?? {
        customOptions(made) {
          ajv = made.addKeyword('expects')
          return ajv
        }
      }
    })
  } catch (error) {
    const { errors } = error as { errors: { instancePath: string }[] }
    return new Set(errors.map(({ instancePath }) => instancePath.slice(1)))
  }
}

/**
 * Reads, checks and freezes the configuration. An empty variable counts as unset.
 *
 * @param variables the environment; tests pass their own
 * @param part `database` checks only the variables of the database, for a command that uses nothing else
 * @throws {ConfigError} with all faults
 */
export function loadConfig(variables: NodeJS.ProcessEnv = process.env, part: 'all' | 'database' = 'all'): Config {
  const data = Object.fromEntries(Object.entries(withDotenv(variables)).filter(([, value]) => value !== ''))
  const { warnings, faults } = mistyped(data)
  let env = parse(data)
  if (env instanceof Set) {
    for (const name of env) {
      faults.push(`${name} is ${isSecret(name) ? 'not right' : `"${data[name]}"`}: set it to ${expectation(name)}.`)
      delete data[name]
    }
    // Parse again without these variables, so that the rules below run too and all faults are reported together.
    env = parse(data) as Environment
  }
  for (const name of LISTS) env[name] = env[name].map((item) => item.trim()).filter((item) => item !== '')
  if (part === 'all') faults.push(...conflicts(env))
  faults.push(...databaseConflicts(env, data))
  if (faults.length > 0) throw new ConfigError(faults)
  return toConfig(env, warnings)
}
