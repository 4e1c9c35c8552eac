import { type Static, Type } from '@sinclair/typebox'
import { KEY_ALGORITHMS, SECRET_ALGORITHMS } from './algorithms.ts'

/** The length of the shortest accepted secret (RFC 7518 section 3.2). */
export const SECRET_MIN_BYTES = 32

const list = (expects: string, description: string, initial = '') =>
  Type.Unsafe<string[]>(Type.String({ separator: ',', default: initial, expects, description }))

const whole = (minimum: number, maximum: number, initial: number, description: string) =>
  Type.Integer({
    minimum,
    maximum,
    default: initial,
    expects: `a whole number from ${minimum} to ${maximum}`,
    description
  })

const choice = <const T extends string>(values: readonly T[], options: { default?: T; description: string }) =>
  Type.Unsafe<T>({ type: 'string', enum: values, expects: `one of ${values.join(', ')}`, ...options })

const budget = (initial: string, description: string, digits = 15) =>
  Type.String({
    pattern: `^(?:off|[1-9]\\d{0,${digits - 1}})$`,
    default: initial,
    expects: `a whole number from 1 of at most ${digits} digits, or off`,
    description
  })

/** A variable without a default: undefined unless it is set. */
const optional = (expects: string, description: string, pattern = '.') =>
  Type.Optional(Type.String({ pattern, expects, description }))

/**
 * Every variable that the service reads: its type, bounds, default, expected value and effect. The sentence that
 * refuses a value contains `expects`. A test compares the documentation's table and `.env.example` with this schema.
 */
export const Environment = Type.Object({
  NODE_ENV: choice(['development', 'production', 'test'], {
    default: 'development',
    description: 'In `production` nothing falls back to a development default, and `.env` is not read'
  }),
  HOST: Type.String({
    default: '127.0.0.1',
    expects: 'an address or a host name',
    description: 'Address to listen on'
  }),
  PORT: whole(0, 65_535, 3000, 'Port to listen on; 0 takes a free one'),
  KEEP_ALIVE_SECONDS: whole(
    1,
    86_400,
    72,
    'Seconds that an idle connection stays open. The load balancer must close it earlier, ' +
      'or it sends requests into closed connections'
  ),
  LOG_LEVEL: choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
    default: 'info',
    description: 'Least severe level that is logged'
  }),
  LOG_SECRET: optional(
    `at least ${SECRET_MIN_BYTES} characters`,
    'Key of the hash that stands for a user in the log. Unless set, each start makes a new one; ' +
      'give all instances the same one to follow a user',
    `^.{${SECRET_MIN_BYTES}}`
  ),
  REQUESTS_MAX: whole(
    1,
    100_000,
    1000,
    'Requests in flight at once; one more is answered 503 before any work is done for it'
  ),
  REQUESTS_PER_USER_MAX: whole(
    1,
    100_000,
    100,
    'Unfinished requests of one user, including answers that the client has not read; one more is a 429'
  ),
  UNSENT_PER_USER_MAX_MB: whole(
    1,
    100_000,
    32,
    'Megabytes of answers that the clients of one user have not read yet; a further answer is a 429'
  ),
  UNSENT_MAX_MB: whole(
    1,
    100_000,
    128,
    'Megabytes of answers that clients have not read yet. ' +
      'Above it, the service closes a connection of the user with the most unread bytes'
  ),
  SHUTDOWN_DELAY_MS: whole(
    0,
    2000,
    1500,
    'Milliseconds that a stopping instance still serves while its readiness check fails; in production only'
  ),
  METRICS_PORT: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 65_535,
      expects: 'a whole number from 0 to 65535',
      description: 'Port of `/metrics`, for Prometheus; none unless set'
    })
  ),
  METRICS_HOST: Type.String({
    default: '127.0.0.1',
    expects: 'an address or a host name',
    description: 'Address of `/metrics`, which has no authentication'
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: optional(
    'the URL of an OpenTelemetry collector, such as http://127.0.0.1:4318',
    'Where traces are sent (OTLP over HTTP); none unless set. Needs the optional packages of docs/running.md',
    '^https?://.'
  ),
  TRUST_PROXY: list(
    'addresses, CIDR ranges, or loopback, linklocal, uniquelocal, separated by commas',
    'Proxies whose `X-Forwarded-*` fields are believed; none unless set'
  ),
  CORS_ORIGIN: list(
    'origins such as https://app.example.com or capacitor://localhost separated by commas, or *',
    'Origins whose pages may call the API; none unless set'
  ),
  DOCS: choice(['on', 'off'], { default: 'on', description: 'Whether the documentation page is served at `/docs`' }),
  DATABASE_URL: Type.String({
    pattern: '^(?:postgres|postgresql|pglite)://.',
    default: 'pglite://.data/pg',
    expects: 'postgres://…, postgresql://… or pglite://folder',
    description: 'The database; `pglite://` is the embedded PostgreSQL. Production has no default'
  }),
  DATABASE_LISTEN_URLS: optional(
    'postgres://… URLs separated by spaces or commas',
    'Every node that sends notifications of changes, for Citus (docs/running.md); `DATABASE_URL` unless set',
    '^(?:postgres|postgresql)://.'
  ),
  DATABASE_POOL_MAX: whole(1, 1000, 10, 'Connections to PostgreSQL; the embedded one always has 1'),
  DATABASE_PREPARE: choice(['true', 'false'], {
    default: 'true',
    description: 'Whether statements are prepared; `false` for a transaction pooler that cannot'
  }),
  DATABASE_RLS: choice(['true', 'false'], {
    default: 'false',
    description:
      'Whether row-level security also limits each statement to its owner; needs a role that does not own the tables'
  }),
  DATABASE_STATEMENT_TIMEOUT_MS: whole(1, 60_000, 4000, 'Milliseconds after which PostgreSQL cancels a statement'),
  USER_STORAGE_MAX_MB: budget(
    '1024',
    'Megabytes (of 1,048,576 bytes) that one user may store, including kept answers; ' +
      'accurate to a 64th for each instance'
  ),
  TASKS_PER_USER_MAX: budget('100000', 'Tasks that one user may have', 9),
  ALGORITHM: list(
    `${SECRET_ALGORITHMS.join(', ')} (one, for a shared secret) or ${KEY_ALGORITHMS.join(', ')} (for published keys)`,
    'Accepted signature algorithms. The default is `HS256` for a shared secret, ' +
      'and all of the listed ones for published keys'
  ),
  BETTER_AUTH_SECRET: optional(
    `at least ${SECRET_MIN_BYTES} bytes`,
    'Secret that signs the tokens when no keys are published. ' +
      'Outside production, a missing one is made and kept in `.data/`'
  ),
  BETTER_AUTH_URL: optional(
    'the URL of the Better Auth server, such as https://app.example.com',
    'Better Auth server whose published keys verify the tokens, with its base path unless that is `/api/auth`. ' +
      'Its origin is the default issuer and audience'
  ),
  JWKS_URL: optional(
    'the URL of a JSON Web Key Set',
    'Where the keys are published, if not at `BETTER_AUTH_URL`. Without `BETTER_AUTH_URL` it needs `JWT_ISSUER`'
  ),
  JWT_ISSUER: list('issuers separated by commas', 'Accepted `iss`; a token must carry one of them when set'),
  JWT_AUDIENCE: list(
    'audiences separated by commas',
    'Accepted `aud`; a token must carry one of them when set. With published keys it also admits OAuth access tokens'
  ),
  JWT_REQUIRED_CLAIMS: list(
    'names of claims separated by commas, sub among them',
    'Claims that a token must have',
    'sub,exp,iat'
  ),
  JWT_CLOCK_TOLERANCE_SECONDS: whole(0, 300, 5, 'Seconds by which the clock of the issuer may be wrong'),
  ACCESS_TOKEN_EXPIRE_MINUTES: whole(1, 525_600, 30, 'Longest accepted lifetime of a token (`exp - iat`)'),
  RATE_LIMIT_MAX: budget('600', 'Requests of one user in a window'),
  RATE_LIMIT_ANONYMOUS_MAX: budget('120', 'Requests of one address without a valid token in a window'),
  RATE_LIMIT_WINDOW: Type.String({
    default: '1 minute',
    expects: 'milliseconds or a duration such as 1 minute, up to a day',
    description: 'Length of the window'
  }),
  STREAMS_PER_USER_MAX: whole(1, 1000, 10, 'Streams of changes that one user may have open on an instance'),
  STREAMS_MAX: whole(1, 1_000_000, 10_000, 'Streams of changes that an instance may have open'),
  REDIS_URL: optional(
    'redis://… or rediss://…',
    'Redis in which several instances share their counts; each counts alone unless set',
    '^rediss?://.'
  )
})
export type Environment = Static<typeof Environment>
