import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TSchema } from '@sinclair/typebox'
import t from 'tap'
import { ConfigError, loadConfig } from '../../../src/config/config.ts'
import { databaseAddresses } from '../../../src/config/database-url.ts'
import { Environment } from '../../../src/config/environment.ts'

const SECRET = 'mRi1kWg2pXz3nQb4vTj5sHd6yLf7cNe8'
const production = { NODE_ENV: 'production', DATABASE_URL: 'postgres://db/rowkeeper', BETTER_AUTH_SECRET: SECRET }

/** The sentences that an environment is refused with; empty when it is accepted. */
function faults(env: Record<string, string>, part?: 'database'): string[] {
  try {
    loadConfig(env, part)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
}

t.test('nothing needs to be set outside production', async (t) => {
  const config = loadConfig({ NODE_ENV: 'test' })
  t.match(config, {
    production: false,
    host: '127.0.0.1',
    port: 3000,
    keepAliveMs: 72_000,
    logLevel: 'info',
    trustProxy: [],
    corsOrigin: [],
    docs: true,
    database: { url: 'pglite://.data/pg', prepare: true, statementTimeoutMs: 4000 },
    auth: {
      algorithms: ['HS256'],
      secret: undefined,
      jwksUrl: undefined,
      issuers: [],
      audiences: [],
      requiredClaims: ['sub', 'exp', 'iat'],
      clockToleranceSeconds: 5,
      maxLifetimeSeconds: 1800
    },
    rateLimit: { windowMs: 60_000, redisUrl: undefined }
  })
  for (const part of [config, config.auth, config.database, config.rateLimit]) t.ok(Object.isFrozen(part))
})

t.test('an empty variable counts as unset, and a list is trimmed', async (t) => {
  const config = loadConfig({
    NODE_ENV: 'test',
    PORT: '',
    CORS_ORIGIN: ' https://a.example , ,http://localhost:5173',
    TRUST_PROXY: ''
  })
  t.equal(config.port, 3000)
  t.same(config.corsOrigin, ['https://a.example', 'http://localhost:5173'])
  t.same(config.trustProxy, [])
})

t.test('production refuses what only development may do without', async (t) => {
  t.same(faults(production), [])
  const { BETTER_AUTH_SECRET: _secret, ...noSecret } = production
  t.match(faults(noSecret), [/^BETTER_AUTH_SECRET is missing: /])
  const { DATABASE_URL: _url, ...noDatabase } = production
  t.match(faults(noDatabase), [/^DATABASE_URL is missing: .* by name/])
  t.same(faults({ ...production, DATABASE_URL: 'pglite:///var/lib/rowkeeper' }), [], 'asked for by name')
  const example = /^BETTER_AUTH_SECRET=(.+)$/m.exec(readFileSync('.env.example', 'utf8'))?.[1] ?? ''
  for (const secret of [
    example,
    'better-auth-secret-12345678901234567890',
    'change-me-change-me-change-me-change-me',
    'your-secret-key-at-least-32-characters-long',
    'a'.repeat(64)
  ]) {
    t.match(
      faults({ ...production, BETTER_AUTH_SECRET: secret }),
      [/^BETTER_AUTH_SECRET is a placeholder or publicly known: /],
      secret
    )
    t.same(faults({ NODE_ENV: 'test', BETTER_AUTH_SECRET: secret }), [], 'development may')
  }
})

t.test('each bad value is one sentence that names its variable', async (t) => {
  for (const [name, bad] of [
    ['NODE_ENV', ['prod']],
    ['PORT', ['x', '-1', '65536', '3000.5', '3000x']],
    ['LOG_SECRET', ['short']],
    ['METRICS_PORT', ['x', '-1', '65536']],
    ['LOG_LEVEL', ['verbose', 'INFO']],
    [
      'TRUST_PROXY',
      ['true', '1', '10.0.0.0/33', '10.0.0.0/0', '0.0.0.0/1', '::/0', '::/6', 'fe80::1/129', 'proxy.local', '*']
    ],
    [
      'CORS_ORIGIN',
      ['app.example.com', 'localhost:5173', 'https://app.example.com/', 'https://app.example.com/path', 'null']
    ],
    ['DOCS', ['yes', 'true']],
    ['DATABASE_URL', ['mysql://x', 'postgres://', 'localhost:5432', 'postgres://x:y:z:/q']],
    ['DATABASE_POOL_MAX', ['0', '1001', 'ten']],
    ['DATABASE_PREPARE', ['yes', '1']],
    ['DATABASE_STATEMENT_TIMEOUT_MS', ['0', '60001', '4s']],
    ['ALGORITHM', ['none', 'hs256', 'HS1', 'RS384', 'EdDSA', 'HS256,EdDSA', 'HS256,HS512']],
    ['BETTER_AUTH_SECRET', ['short', 'é'.repeat(15)]],
    ['JWT_REQUIRED_CLAIMS', ['exp', 'exp,iat']],
    ['JWT_CLOCK_TOLERANCE_SECONDS', ['-1', '301', 'x']],
    ['ACCESS_TOKEN_EXPIRE_MINUTES', ['0', 'x', '525601']],
    ['RATE_LIMIT_MAX', ['0', '-1', 'none', '1.5']],
    ['RATE_LIMIT_ANONYMOUS_MAX', ['0', 'x']],
    ['RATE_LIMIT_WINDOW', ['soon', '0', '2 days', '-1 minute']],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', ['127.0.0.1:4318', 'http://:bad']],
    ['REDIS_URL', ['localhost:6379', 'http://x', 'redis://:pass@:bad:1', 'redis://:%zz@x']]
  ] as const) {
    for (const value of bad) {
      const found = faults({ NODE_ENV: 'test', [name]: value })
      const [fault = ''] = found
      t.equal(found.length, 1, `${name}=${value}: ${found}`)
      t.ok(fault.startsWith(`${name} `), fault)
      if (/SECRET|URL|ENDPOINT/.test(name))
        t.notMatch(fault, `"${value}"`, 'a value that may hold a password is not repeated')
    }
  }
  for (const good of [
    { TRUST_PROXY: 'loopback, 10.0.0.0/8,2001:db8::/32,::1' },
    { CORS_ORIGIN: '*' },
    { RATE_LIMIT_WINDOW: '60000', RATE_LIMIT_MAX: 'off', RATE_LIMIT_ANONYMOUS_MAX: '5' },
    { RATE_LIMIT_WINDOW: '30 seconds' },
    { ALGORITHM: 'HS512' },
    { DATABASE_URL: 'postgresql://u:p@h:5432/d?sslmode=require' },
    { REDIS_URL: 'rediss://cache:6380/0' },
    { DATABASE_URL: 'postgres://db/x', DATABASE_LISTEN_URLS: 'postgres://a/x postgresql://b/x?sslmode=require' }
  ]) {
    t.same(faults({ NODE_ENV: 'test', ...good }), [], JSON.stringify(good))
  }
})

t.test('CORS_ORIGIN takes what apps and extensions send as their origin (issue 16)', async (t) => {
  for (const origin of [
    'capacitor://localhost',
    'ionic://localhost',
    'tauri://localhost',
    'http://tauri.localhost',
    'app://.',
    'app://',
    'app://localhost:1234',
    'file://',
    'vscode-webview://1ab',
    'chrome-extension://abcdefghijklmnopabcdefghijklmnop',
    'moz-extension://5f0c2a3e-0b1d-4e8e-9a55-1c2d3e4f5a6b',
    'safari-web-extension://5F0C2A3E-0B1D-4E8E-9A55-1C2D3E4F5A6B',
    'http://[::1]:5173',
    'https://app.example.com:8443'
  ]) {
    t.same(faults({ NODE_ENV: 'test', CORS_ORIGIN: origin }), [], origin)
  }
})

t.test('an element of CORS_ORIGIN that never matches is refused with what browsers send (issue 16)', async (t) => {
  for (const [origin, sent] of [
    ['https://app.example.com/', 'https://app.example.com'],
    ['https://app.example.com/path?x#y', 'https://app.example.com'],
    ['https://App.Example.com', 'https://app.example.com'],
    ['HTTPS://app.example.com', 'https://app.example.com'],
    ['https://app.example.com:443', 'https://app.example.com'],
    ['http://app.example.com:80', 'http://app.example.com'],
    ['http:app.example.com', 'http://app.example.com'],
    ['https://bücher.example', 'https://xn--bcher-kva.example'],
    ['capacitor://localhost/', 'capacitor://localhost'],
    ['Tauri://localhost', 'tauri://localhost'],
    ['app://localhost/index.html', 'app://localhost'],
    ['file:///index.html', 'file://']
  ] as const) {
    t.same(faults({ NODE_ENV: 'test', CORS_ORIGIN: origin }), [
      `CORS_ORIGIN has "${origin}", which never matches: browsers send ${sent}.`
    ])
  }
  for (const [origin, reason] of [
    ['null', 'which any sandboxed frame or local file sends'],
    ['https://*.example.com', 'but there are no wildcards'],
    ['chrome-extension://*', 'but there are no wildcards'],
    ['wss://app.example.com', 'set it to origins such as'],
    ['ftp://app.example.com', 'set it to origins such as'],
    ['data:text/html', 'set it to origins such as'],
    ['about:blank', 'set it to origins such as'],
    ['blob:https://app.example.com', 'set it to origins such as'],
    ['"https://app.example.com"', 'set it to origins such as']
  ] as const) {
    const found = faults({ NODE_ENV: 'test', CORS_ORIGIN: origin })
    t.equal(found.length, 1, origin)
    t.match(found[0], reason, origin)
  }
})

t.test('DATABASE_LISTEN_URLS names every node that notifies', async (t) => {
  const DATABASE_URL = 'postgres://db/x'
  const urls = (env: object) => loadConfig({ NODE_ENV: 'test', DATABASE_URL, ...env }, 'database').database.listenUrls
  t.same(urls({}), [DATABASE_URL])
  const nodes = ['postgres://u:p@a,b:5433/x', 'postgresql://c/x']
  for (const between of [' ', ',', ', ', ' \n ']) {
    t.same(urls({ DATABASE_LISTEN_URLS: nodes.join(between) }), nodes, 'a comma also separates hosts')
  }
  const faultsOf = (DATABASE_LISTEN_URLS: string) => faults({ NODE_ENV: 'test', DATABASE_URL, DATABASE_LISTEN_URLS })
  for (const bad of [
    'mysql://x',
    'postgres://a/x mysql://b',
    'postgres://a/x b',
    'postgres://a/x,postgres://x:y:z:/q'
  ]) {
    t.match(faultsOf(bad), [/^DATABASE_LISTEN_URLS is not right: set it to postgres:/], bad)
  }
  t.match(faultsOf('postgres://a/x?schema=public'), [/^DATABASE_LISTEN_URLS has the parameter schema, /])
  t.match(faults({ NODE_ENV: 'test', DATABASE_LISTEN_URLS: 'postgres://a/x' }), [/embedded database has one session/])
})

t.test('all faults are told at once', async (t) => {
  const found = faults({
    NODE_ENV: 'production',
    PORT: 'x',
    DOCS: 'maybe',
    TRUST_PROXY: 'all',
    JWT_REQUIRED_CLAIMS: 'exp'
  })
  t.same(found.map((fault) => fault.split(' ')[0]).sort(), [
    'BETTER_AUTH_SECRET',
    'DATABASE_URL',
    'DOCS',
    'JWT_REQUIRED_CLAIMS',
    'PORT',
    'TRUST_PROXY'
  ])
})

t.test('a command that needs only the database asks for nothing else', async (t) => {
  t.same(faults({ NODE_ENV: 'production', DATABASE_URL: 'postgres://db/x' }, 'database'), [])
  t.match(faults({ NODE_ENV: 'production' }, 'database'), [/^DATABASE_URL is missing/])
})

t.test('published keys', async (t) => {
  const URL_ONLY = {
    NODE_ENV: 'production',
    DATABASE_URL: 'postgres://db/x',
    BETTER_AUTH_URL: 'https://app.example.com'
  }
  const keys = ['EdDSA', 'ES256', 'ES512', 'PS256', 'RS256']
  t.match(loadConfig(URL_ONLY).auth, {
    jwksUrl: 'https://app.example.com/api/auth/jwks',
    issuers: ['https://app.example.com'],
    audiences: ['https://app.example.com'],
    oauthIssuers: [],
    algorithms: keys,
    secret: undefined,
    secretIgnored: false
  })
  t.match(loadConfig({ ...URL_ONLY, BETTER_AUTH_SECRET: SECRET }).auth, { secret: undefined, secretIgnored: true })
  t.match(loadConfig({ ...URL_ONLY, JWT_AUDIENCE: 'tasks', ALGORITHM: 'ES256' }).auth, {
    audiences: ['tasks'],
    oauthIssuers: ['https://app.example.com/api/auth'],
    algorithms: ['ES256']
  })
  t.match(loadConfig({ ...URL_ONLY, BETTER_AUTH_SECRET: SECRET, ALGORITHM: 'HS256' }).auth, {
    jwksUrl: undefined,
    secret: SECRET,
    algorithms: ['HS256'],
    issuers: [],
    audiences: []
  })
  const { BETTER_AUTH_URL: _url, ...rest } = URL_ONLY
  const JWKS_URL = 'https://keys.example.com/jwks'
  t.match(loadConfig({ ...rest, JWKS_URL, JWT_ISSUER: 'https://issuer.example' }).auth, {
    jwksUrl: JWKS_URL,
    issuers: ['https://issuer.example'],
    audiences: []
  })
  t.match(faults({ ...rest, JWKS_URL }), [/^JWT_ISSUER is missing/])
  for (const host of [
    'app.example.com',
    'localhost.example.com',
    'mylocalhost',
    '127.0.0.1.example.com',
    '10.127.0.0',
    '[::2]'
  ]) {
    t.match(faults({ ...URL_ONLY, BETTER_AUTH_URL: `http://${host}` }), [/^BETTER_AUTH_URL is not https/], host)
  }
  for (const host of ['127.0.0.1', '127.255.0.9', '[::1]']) {
    t.same(faults({ ...URL_ONLY, BETTER_AUTH_URL: `http://${host}:3001` }), [], host)
  }
  t.same(faults({ ...URL_ONLY, BETTER_AUTH_URL: 'http://localhost:3001' }), [])
  t.same(faults({ ...URL_ONLY, NODE_ENV: 'test', BETTER_AUTH_URL: 'http://auth:3001' }), [])
  for (const bad of [
    'app.example.com',
    'ftp://app.example.com',
    'https://user:pass@app.example.com',
    'https://:pass@x',
    'https://x/#y',
    'https://x/?q=1'
  ]) {
    t.match(faults({ ...URL_ONLY, BETTER_AUTH_URL: bad }), [/^BETTER_AUTH_URL is not right/], bad)
  }
  t.match(faults({ ...URL_ONLY, BETTER_AUTH_SECRET: SECRET, ALGORITHM: 'HS256,EdDSA' }), [/^ALGORITHM mixes/])
})

t.test('a path in BETTER_AUTH_URL is the whole base path, as Better Auth itself has it (issue 16)', async (t) => {
  for (const [given, base] of [
    ['https://app.example.com', '/api/auth'],
    ['https://APP.example.com:443/', '/api/auth'],
    ['https://app.example.com//', '/api/auth'],
    ['https://app.example.com?', '/api/auth'],
    ['https://app.example.com/api/auth', '/api/auth'],
    ['https://app.example.com/api/auth/', '/api/auth'],
    ['https://app.example.com/auth', '/auth'],
    ['https://app.example.com/base//', '/base'],
    ['https://app.example.com/base/api/auth', '/base/api/auth']
  ] as const) {
    const env = { NODE_ENV: 'test', BETTER_AUTH_URL: given, JWT_AUDIENCE: 'tasks' }
    t.match(
      loadConfig(env).auth,
      {
        jwksUrl: `https://app.example.com${base}/jwks`,
        issuers: ['https://app.example.com'],
        oauthIssuers: [`https://app.example.com${base}`]
      },
      given
    )
  }
})

t.test('.env is read in development only, and what the process was given wins', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'rowkeeper-env-'))
  const before = process.cwd()
  t.teardown(() => process.chdir(before))
  process.chdir(folder)
  t.equal(loadConfig({}).port, 3000, 'it need not be there')
  writeFileSync('.env', 'PORT=4000\nLOG_LEVEL=warn\n')
  t.match(loadConfig({ LOG_LEVEL: 'error' }), { port: 4000, logLevel: 'error' })
  t.equal(loadConfig({ NODE_ENV: 'development' }).port, 4000)
  t.same(loadConfig({}).warnings, [])
  writeFileSync('.env', 'PORT=4000\nDATABSE_URL=postgres://db/x\nPROT=\n')
  t.match(loadConfig({}).warnings, [/^DATABSE_URL has no effect/], 'and checked for slips (issue 16)')
  t.equal(loadConfig({ NODE_ENV: 'test' }).port, 3000)
  t.equal(loadConfig(production).port, 3000)
})

t.test(
  '.env with a byte order mark keeps its first variable, and other encodings are refused (issue 16)',
  async (t) => {
    const before = process.cwd()
    t.teardown(() => process.chdir(before))
    process.chdir(mkdtempSync(join(tmpdir(), 'rowkeeper-env-')))
    const text = 'DATABASE_URL=postgres://db/rowkeeper\r\nJWT_ISSUER=bücher\r\n'
    writeFileSync('.env', `\ufeff${text}`)
    t.match(loadConfig({}), { database: { url: 'postgres://db/rowkeeper' }, auth: { issuers: ['bücher'] } })
    for (const [encoding, bytes] of [
      ['UTF-16, little-endian', Buffer.from(`\ufeff${text}`, 'utf16le')],
      ['UTF-16, big-endian', Buffer.from(`\ufeff${text}`, 'utf16le').swap16()],
      ['UTF-16 without a byte order mark', Buffer.from(text, 'utf16le')],
      ['ISO 8859-1', Buffer.from(text, 'latin1')]
    ] as const) {
      writeFileSync('.env', bytes)
      t.match(faults({}), [/^\.env is not UTF-8/], encoding)
      t.match(faults({}, 'database'), [/^\.env is not UTF-8/], encoding)
      t.same(faults(production), [], 'production does not read it')
    }
  }
)

t.test('an unreadable .env is not taken for none', async (t) => {
  const before = process.cwd()
  t.teardown(() => process.chdir(before))
  process.chdir(mkdtempSync(join(tmpdir(), 'rowkeeper-env-')))
  mkdirSync('.env')
  t.throws(() => loadConfig({}), { code: 'EISDIR' })
})

t.test(
  'a parameter of DATABASE_URL that nothing reads is refused, with what to write instead (issue 16)',
  async (t) => {
    const faultsOf = (query: string) => faults({ NODE_ENV: 'test', DATABASE_URL: `postgres://u@db/x?${query}` })
    for (const [query, sentence] of [
      ['schema=public', /^DATABASE_URL has the parameter schema, .*: write search_path instead\.$/],
      ['pgbouncer=true', /pgbouncer, .*DATABASE_PREPARE=false/],
      ['connection_limit=5', /connection_limit, .*DATABASE_POOL_MAX/],
      ['sslrootcert=/ca.pem', /sslrootcert, .*NODE_EXTRA_CA_CERTS/],
      ['channel_binding=require', /channel_binding, .*remove it/],
      ['user=bob', /parameter user, .*before the question mark/],
      ['host=db.example', /parameter host, .*before the question mark/]
    ] as const) {
      t.match(faultsOf(query), [sentence], query)
      t.equal(faultsOf(query).length, 1, query)
    }
    t.equal(faultsOf('schema=a&pgbouncer=true').length, 2, 'each is told')
    for (const query of [
      'sslmode=require',
      'application_name=x',
      'sslrootcert=system',
      'host=/run/postgresql',
      'search_path=app'
    ]) {
      t.same(faultsOf(query), [], query)
    }
  }
)

t.test('a socket in a directory is found as libpq finds it (issue 16)', async (t) => {
  const url = 'postgres://u@localhost:5433/x?sslmode=disable&host=/run/postgresql'
  t.same(databaseAddresses(url), {
    url: 'postgres://u@localhost:5433/x?sslmode=disable',
    addresses: [{ path: '/run/postgresql/.s.PGSQL.5433' }]
  })
  for (const [authority, ...addresses] of [
    ['u:p%40@db', { host: 'db', port: 5432 }],
    ['db:5433', { host: 'db', port: 5433 }],
    ['u@a,b:5433', { host: 'a', port: 5432 }, { host: 'b', port: 5433 }],
    ['u@[::1]:5433', { host: '::1', port: 5433 }],
    ['u@%2Frun%2Fpg', { path: '/run/pg/.s.PGSQL.5432' }],
    ['', { host: 'localhost', port: 5432 }]
  ] as const) {
    const href = `postgres://${authority}/x?sslmode=disable`
    t.same(databaseAddresses(href), { url: href, addresses }, authority)
  }
})

t.test('docs/configuration.md and .env.example say what the schema says', async (t) => {
  const properties = Object.entries(Environment.properties as Record<string, TSchema>)
  const document = readFileSync('docs/configuration.md', 'utf8')
  const rows = [...document.matchAll(/^\| `([A-Z_]+)` \| (.*?) \| (.*?) \| (.*?) \|$/gm)].map(([, ...cells]) => cells)
  t.same(
    rows,
    properties.map(([name, { expects, default: initial, description }]) => [
      name,
      expects,
      initial === undefined || initial === '' ? '' : `\`${initial}\``,
      description
    ])
  )
  const example = [...readFileSync('.env.example', 'utf8').matchAll(/^#? ?([A-Z_]+)=(.*)$/gm)]
  t.same(
    example.map(([, name]) => name),
    properties.map(([name]) => name)
  )
  for (const [line, name = '', value] of example) {
    const initial = (Environment.properties as Record<string, TSchema>)[name]?.default
    if (line?.startsWith('#') && initial !== undefined) t.equal(value, String(initial), name)
  }
})

t.test('localhost is one address, and a quota that is off is none (issue 15)', async (t) => {
  const config = loadConfig({ NODE_ENV: 'test', HOST: 'localhost', USER_STORAGE_MAX_MB: 'off' })
  t.equal(config.host, '127.0.0.1')
  t.equal(config.userStorageMaxBytes, Number.POSITIVE_INFINITY)
})
