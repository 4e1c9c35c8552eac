import t from 'tap'
import { mistyped } from '../../../src/config/mistyped.ts'

const NOTHING = { warnings: [], faults: [] }
const warned = (name: string, ours?: string) => ({
  warnings: [
    `${name} has no effect: this service has no variable of that name.${ours === undefined ? '' : ` Is ${ours} meant?`}`
  ],
  faults: []
})

t.test('a mistyped variable is told with the name that is meant (issue 16)', async (t) => {
  for (const [name, ours] of [
    ['DATABSE_URL', 'DATABASE_URL'],
    ['DATABASE_URI', 'DATABASE_URL'],
    ['DATABASEURL', 'DATABASE_URL'],
    ['DTABASE_ULR', 'DATABASE_URL'],
    ['database_url', 'DATABASE_URL'],
    ['\ufeffDATABASE_URL', 'DATABASE_URL'],
    ['DATABASE_RSL', 'DATABASE_RLS'],
    ['CORS_ORIGINS', 'CORS_ORIGIN'],
    ['TRUSTED_PROXY', 'TRUST_PROXY'],
    ['BETTERAUTH_URL', 'BETTER_AUTH_URL'],
    ['BETTER_AUTH_SECERT', 'BETTER_AUTH_SECRET'],
    ['JWKS_URI', 'JWKS_URL'],
    ['JWT_ISSUERS', 'JWT_ISSUER'],
    ['REDIS_URI', 'REDIS_URL'],
    ['RATELIMIT_MAX', 'RATE_LIMIT_MAX'],
    ['REQUEST_MAX', 'REQUESTS_MAX'],
    ['ALGORITHMS', 'ALGORITHM'],
    ['LOGLEVEL', 'LOG_LEVEL'],
    ['NODE_EVN', 'NODE_ENV'],
    ['PROT', 'PORT'],
    ['HOSTS', 'HOST']
  ] as const) {
    t.strictSame(mistyped({ [name]: 'secret value' }), warned(name, ours), name)
  }
})

t.test('a variable that begins as ours do and has no effect is told (issue 16)', async (t) => {
  for (const name of ['DATABASE_HOST', 'JWT_SECRET', 'CORS_ALLOWED_METHODS', 'RATE_LIMIT_STORE', 'ROWKEEPER_PORT']) {
    t.strictSame(mistyped({ [name]: 'x' }), warned(name), name)
  }
})

t.test('variables of others are not', async (t) => {
  for (const name of [
    'HOME',
    'PATH',
    'PWD',
    'TERM',
    'LANG',
    'HOSTNAME',
    'NODE_OPTIONS',
    'REQUESTS_CA_BUNDLE',
    'PGHOST'
  ]) {
    t.strictSame(mistyped({ [name]: 'x' }), NOTHING, name)
  }
  for (const name of ['BETTER_AUTH_SECRETS', 'BETTER_AUTH_TRUSTED_ORIGINS', 'OTEL_SERVICE_NAME', 'REDIS_PASSWORD']) {
    t.strictSame(mistyped({ [name]: 'x' }), NOTHING, name)
  }
  const ofKubernetes = {
    DATABASE_SERVICE_HOST: '10.96.0.7',
    DATABASE_SERVICE_PORT: '5432',
    DATABASE_PORT: 'tcp://10.96.0.7:5432',
    DATABASE_PORT_5432_TCP: 'tcp://10.96.0.7:5432',
    DATABASE_PORT_5432_TCP_ADDR: '10.96.0.7'
  }
  t.strictSame(mistyped(ofKubernetes), NOTHING)
})

t.test('production refuses a mistyped name that decides which data is used (issue 16)', async (t) => {
  const refused = (name: string, ours: string) => ({
    warnings: [],
    faults: [`${name} is no variable of this service: write ${ours}, or remove it.`]
  })
  const NODE_ENV = 'production'
  const DATABASE_URL = 'pglite:///data'
  t.strictSame(mistyped({ NODE_ENV, DATABSE_URL: 'postgres://db/x' }), refused('DATABSE_URL', 'DATABASE_URL'))
  const beside = { NODE_ENV, DATABASE_URL, DATABASE_URI: 'postgres://db/x' }
  t.strictSame(mistyped(beside), refused('DATABASE_URI', 'DATABASE_URL'), 'beside a default of the image')
  t.strictSame(mistyped({ NODE_ENV, DATABASE_RSL: 'true' }), refused('DATABASE_RSL', 'DATABASE_RLS'))
  t.strictSame(mistyped({ ...beside, DATABASE_URI: DATABASE_URL }), warned('DATABASE_URI', 'DATABASE_URL'), 'the same')
  t.strictSame(mistyped({ NODE_ENV, CORS_ORIGINS: '*' }), warned('CORS_ORIGINS', 'CORS_ORIGIN'), 'no data')
  t.strictSame(mistyped({ NODE_EVN: NODE_ENV }), refused('NODE_EVN', 'NODE_ENV'), 'or NODE_ENV itself')
})
