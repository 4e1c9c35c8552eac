import { isIP } from 'node:net'
import { parse as parseDuration } from '@lukeed/ms'
import type { TSchema } from '@sinclair/typebox'
import { originFault } from '../http/origin.ts'
import { KEY_ALGORITHMS, SECRET_ALGORITHMS } from './algorithms.ts'
import { parameterFaults, urlsOf } from './database-url.ts'
import { Environment, SECRET_MIN_BYTES } from './environment.ts'

/** The secret in `.env.example`. It is public, so production refuses it. */
const EXAMPLE_SECRET = 'replace-me-with-openssl-rand-base64-32'

// Publicly known secrets: our example, and the defaults of Better Auth.
const PUBLIC_SECRETS = new Set([
  EXAMPLE_SECRET,
  'better-auth-secret-12345678901234567890',
  'better-auth-secret-123456789'
])
const PLACEHOLDER = /^(?:change|replace|your|example|secret|placeholder|insert|xxx)|(.)\1{15}/i

const DAY_MS = 86_400_000
const isProxy = (text: string) => {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(text)) return true
  const [address = '', prefix] = text.split('/')
  const bits = isIP(address) === 4 ? 32 : isIP(address) === 6 ? 128 : 0
  // A shorter prefix would let half of the internet claim any client address. fc00::/7 is the shortest private one.
  return (
    bits > 0 &&
    (prefix === undefined || (/^[1-9]\d{0,2}$/.test(prefix) && Number(prefix) >= 7 && Number(prefix) <= bits))
  )
}

/** Whether the text is a URL whose user and password can be decoded. */
function isUrl(text: string): boolean {
  try {
    const { username, password } = new URL(text)
    decodeURIComponent(username + password)
    return true
  } catch {
    return false
  }
}

/** Returns the milliseconds of `60000` or `1 minute`; NaN for other text, and for more than a day. */
export const durationMs = (text: string) => {
  const ms = /^\d+$/.test(text) ? Number(text) : Number(parseDuration(text))
  return Number.isInteger(ms) && ms >= 1 && ms <= DAY_MS ? ms : Number.NaN
}

const isSecretAlgorithm = (name: string) => (SECRET_ALGORITHMS as readonly string[]).includes(name)
const isKeyAlgorithm = (name: string) => (KEY_ALGORITHMS as readonly string[]).includes(name)

const isLoopback = (host: string) => /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(host)

/** Whether published keys verify the tokens. An HS algorithm in `ALGORITHM` takes precedence over them. */
export const usesKeys = (env: Environment) =>
  (env.BETTER_AUTH_URL !== undefined || env.JWKS_URL !== undefined) &&
  !env.ALGORITHM.some((name) => isSecretAlgorithm(name))

/** Returns the value that a variable expects, by its schema. */
export const expectation = (name: string): string => (Environment.properties as Record<string, TSchema>)[name]?.expects

/** Yields a sentence for each variable that the schema accepts but that is wrong, or does not fit the others. */
export function* conflicts(env: Environment): Generator<string> {
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
    if (!isSecretAlgorithm(name) && !isKeyAlgorithm(name)) yield bad('ALGORITHM', name)
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
      yield `${name} is not https: an attacker on the network could replace the keys; use https.`
    }
  }
  if (env.BETTER_AUTH_URL === undefined && env.JWT_ISSUER.length === 0) {
    yield 'JWT_ISSUER is missing: JWKS_URL alone does not say who issues the tokens; set it to the accepted iss.'
  }
}

function* secretConflicts(env: Environment): Generator<string> {
  const asymmetric = env.ALGORITHM.filter((name) => isKeyAlgorithm(name))
  if (asymmetric.length > 0 && asymmetric.length < env.ALGORITHM.length) {
    yield 'ALGORITHM mixes shared-secret and published-key algorithms: ' +
      'keep one kind, since with both an attacker could sign with a public key.'
  } else if (asymmetric.length > 0) {
    const names = asymmetric.join(', ')
    yield `ALGORITHM is ${names}, which needs published keys: set BETTER_AUTH_URL or JWKS_URL, or remove it.`
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

/**
 * Yields a sentence for each fault in the variables of the database.
 *
 * @param variables the environment without the defaults
 */
export function* databaseConflicts(env: Environment, variables: NodeJS.ProcessEnv): Generator<string> {
  const url = env.DATABASE_URL
  if (!url.startsWith('pglite:') && !isUrl(url)) {
    yield 'DATABASE_URL is not a URL: write it as postgres://user:password@host:5432/database.'
  } else if (!url.startsWith('pglite:')) {
    yield* parameterFaults(url)
  }
  for (const node of urlsOf(env.DATABASE_LISTEN_URLS)) {
    if (!/^postgres(?:ql)?:\/\/./.test(node) || !isUrl(node)) {
      yield `DATABASE_LISTEN_URLS is not right: set it to ${expectation('DATABASE_LISTEN_URLS')}.`
    } else yield* parameterFaults(node, 'DATABASE_LISTEN_URLS')
  }
  if (env.DATABASE_LISTEN_URLS !== undefined && url.startsWith('pglite:')) {
    yield 'DATABASE_LISTEN_URLS is set, but the embedded database has one session, which listens: remove it.'
  }
  if (env.NODE_ENV === 'production' && variables.DATABASE_URL === undefined) {
    yield 'DATABASE_URL is missing: production uses the embedded database only when asked by name (pglite://folder).'
  }
}
