import { cpSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { requireNode, run, runCommand, withDatabase } from '../../../src/commands/run.ts'
import { ConfigError } from '../../../src/config/config.ts'
import { buildAlone, SECRET } from '../../support/app.ts'
import { folder, start } from '../../support/program.ts'
import { TEMPLATE } from '../../support/template.ts'

const MAIN = 'src/commands/main.js'
const SERVER = 'src/server.js'

const SKIP = process.env.TEST_DATABASE_URL === undefined && 'needs TEST_DATABASE_URL'

t.test('rowkeeper token', async (t) => {
  const env = { BETTER_AUTH_SECRET: SECRET }
  const token = async (args: string[], more: Record<string, string> = {}) => {
    const { code, output } = await start(t, MAIN, folder(t), { ...env, ...more }, ['token', ...args]).ended
    return { code, output: output.trim() }
  }
  t.test('makes a token that the service takes', async (t) => {
    const app = await buildAlone(t, {
      JWT_ISSUER: 'https://a.example',
      JWT_AUDIENCE: 'tasks,other',
      ALGORITHM: 'HS384'
    })
    const more = { JWT_ISSUER: 'https://a.example', JWT_AUDIENCE: 'tasks,other', ALGORITHM: 'HS384' }
    const { output } = await token(['--sub', 'alice', '--minutes', '5', '--scope', 'tasks:read'], more)
    const session = await app.inject({ url: '/api/session', headers: { authorization: `Bearer ${output}` } })
    t.match(session.json(), { user: { sub: 'alice', scope: ['tasks:read'] } })
    const seconds = (Date.parse(session.json().user.expiresAt) - Date.now()) / 1000
    t.ok(seconds > 200 && seconds <= 300, `${seconds} s`)
  })
  t.test('warns of a mistyped variable (issue 16)', async (t) => {
    const { code, output } = await token(['--sub', 'alice'], { JWT_ISSUERS: 'https://a.example' })
    t.equal(code, 0)
    t.match(output, /^JWT_ISSUERS has no effect: .* Is JWT_ISSUER meant\?$/m)
  })
  t.test('keeps the development secret', async (t) => {
    const cwd = folder(t)
    const first = await start(t, MAIN, cwd, {}, ['token', '--sub', 'alice']).ended
    const second = await start(t, MAIN, cwd, { BETTER_AUTH_SECRET: '' }, ['token', '--sub', 'alice']).ended
    const header = (output: string) => output.split('.')[0]
    t.equal(first.code, 0)
    t.equal(header(first.output), header(second.output))
  })
  for (const [what, args, more, sentence] of [
    ['without a user', [], {}, /^rowkeeper token needs --sub USER/],
    ['with an option that it does not know', ['--subb', 'x'], {}, /^Unknown option --subb\. Is --sub meant\?/],
    [
      'for longer than the service accepts',
      ['--sub', 'a', '--minutes', '31'],
      {},
      /^Failed: The lifetime must be from 1 to 30 minutes/
    ],
    ['for no number of minutes', ['--sub', 'a', '--minutes', 'x'], {}, /^Failed: The lifetime must be/],
    [
      'in production',
      ['--sub', 'a'],
      { NODE_ENV: 'production', DATABASE_URL: 'postgres://x/y' },
      /^Failed: .* not made in production/
    ],
    [
      'with published keys',
      ['--sub', 'a'],
      { BETTER_AUTH_URL: 'https://a.example' },
      /^Failed: .* only their issuer can sign/
    ],
    ['with a bad environment', ['--sub', 'a'], { PORT: 'x' }, /^PORT is "x": set it to/]
  ] as const) {
    t.test(`refuses ${what}`, async (t) => {
      const { code, output } = await token([...args], more)
      t.equal(code, 1)
      t.match(output, sentence)
      t.equal(output.split('\n').length, 1, output)
    })
  }
})

t.test('rowkeeper migrate', async (t) => {
  t.test('needs only DATABASE_URL, and may run twice', async (t) => {
    const cwd = folder(t)
    cpSync(TEMPLATE, join(cwd, 'pg'), { recursive: true })
    const env = { NODE_ENV: 'production', DATABASE_URL: 'pglite://pg' }
    for (let i = 0; i < 2; i++) {
      t.match(await start(t, MAIN, cwd, env, ['migrate']).ended, { code: 0, output: 'The database is up to date.\n' })
    }
  })
  t.test('says what is wrong', async (t) => {
    const away = await start(t, MAIN, folder(t), { DATABASE_URL: 'postgres://127.0.0.1:1/x' }, ['migrate']).ended
    t.equal(away.code, 1)
    t.match(away.output, /^Failed: PostgreSQL cannot be used by DATABASE_URL: check its host, .*ECONNREFUSED/)
    const missing = await start(t, MAIN, folder(t), { NODE_ENV: 'production' }, ['migrate']).ended
    t.match(missing, { code: 1, output: /^DATABASE_URL is missing/ })
  })
})

t.test(
  'a database that does not exist, or lets nobody in, is told with the remedy (issue 16)',
  { skip: SKIP },
  async (t) => {
    const url = (part: object) => Object.assign(new URL(String(process.env.TEST_DATABASE_URL)), part).href
    for (const [part, sentence] of [
      [{ pathname: '/nowhere' }, /^Failed: The database that DATABASE_URL names does not exist: create it/],
      [{ username: 'nobody' }, /^Failed: PostgreSQL does not let in the user of DATABASE_URL/]
    ] as const) {
      for (const name of ['migrate', 'start']) {
        const env = { NODE_ENV: 'production', BETTER_AUTH_SECRET: SECRET, PORT: '0', DATABASE_URL: url(part) }
        const { code, output } = await start(t, MAIN, folder(t), env, [name]).ended
        t.equal(code, 1)
        t.match(output.replace(/^(?:\{.*\n)*(?:Failed: )?/, 'Failed: '), sentence)
      }
    }
  }
)

t.test(
  'every command tells how it is used, does nothing else then, and refuses what it does not know (issue 16)',
  async (t) => {
    // Nothing of the environment is read before.
    const env = { PORT: 'x' }
    const rowkeeper = (...args: string[]) => start(t, MAIN, folder(t), env, args).ended
    const { code, output } = await rowkeeper()
    t.equal(code, 0)
    const names = [...output.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => String(name))
    t.ok(names.length > 9)
    process.env.PORT = 'x'
    t.teardown(() => delete process.env.PORT)
    for (const name of names) {
      // In this process: starting one takes seconds here.
      const { default: command } = await import(new URL(`../../../src/commands/${name}.js`, import.meta.url).href)
      const printed = t.capture(console, 'log')
      await runCommand(name, command, ['--help'])
      const help = printed().map(({ args }) => args[0])
      t.match(help.join('\n'), /^Usage: rowkeeper [\s\S]*Exit code: 0 when it is done/, name)
      const refused = { constructor: ConfigError, message: RegExp(`^Unknown option --yes\\. rowkeeper ${name} --help`) }
      t.throws(() => command.execute(name, ['--yes']), refused, name)
    }
    t.match(await rowkeeper('load', '--help'), { code: 0, output: /^Usage: rowkeeper load / })
    t.match(await rowkeeper('init', '--yes'), { code: 1, output: /^Unknown option --yes\. rowkeeper init --help/ })
    t.match(await rowkeeper('init'), { code: 1, output: /^rowkeeper init takes one argument\. rowkeeper init --help/ })
    t.match(await rowkeeper('start', 'now'), { code: 1, output: /^rowkeeper start takes no argument/ })
    t.match(await rowkeeper('token', '--sub'), { code: 1, output: /^Option '--sub <value>' argument missing\./ })
    t.match(await rowkeeper('--version'), { code: 0, output: /^\d+\.\d+\.\d+\n$/ })
    t.match(await rowkeeper('strat'), { code: 1, output: /^There is no command "strat"\. Is start meant\?/ })
    t.match(await rowkeeper('constructor'), {
      code: 1,
      output: /^There is no command "constructor"\. rowkeeper --help/
    })
    t.match(await start(t, SERVER, folder(t), env, ['-h']).ended, { code: 0, output: /^Usage: rowkeeper start/ })
  }
)

t.test('a version of Node.js that is too old is told in a sentence (issue 16)', async (t) => {
  const message = 'Node.js 20.9.0 is too old: Rowkeeper needs 20.19.0 or later.'
  t.throws(() => requireNode('20.9.0'), new ConfigError([message]))
  for (const version of ['20.19.0', '22.0.0', '100.0.0']) t.doesNotThrow(() => requireNode(version))
})

t.test('an error of the database is told with its remedy, any other as it is', async (t) => {
  process.env.DATABASE_URL = 'postgres://127.0.0.1:1/none'
  t.teardown(() => delete process.env.DATABASE_URL)
  const thrown = (code?: string) =>
    withDatabase('', () => Promise.reject(Object.assign(new Error('the reason'), { code })))
  await t.rejects(thrown('3D000'), {
    message: /^The database that DATABASE_URL names does not exist: .* \(the reason\)$/
  })
  await t.rejects(thrown('57P03'), { message: /^PostgreSQL cannot be used by DATABASE_URL: .* \(the reason\)$/ })
  await t.rejects(thrown(), { message: /^the reason$/ })
})

t.test('fastify-cli mounts the same application, by the environment', async (t) => {
  const cli = createRequire(import.meta.url).resolve('fastify-cli/cli.js')
  const app = fileURLToPath(new URL('../../../src/fastify-cli.js', import.meta.url))
  const env = { LOG_LEVEL: 'silent', DATABASE_URL: 'postgres://127.0.0.1:1/none', BETTER_AUTH_SECRET: SECRET }
  const { code, output } = await start(t, cli, folder(t), env, ['print-routes', app]).ended
  t.equal(code, 0)
  t.match(output, /api\/tasks \(GET, HEAD, POST\)/)
})

t.test('what a command throws ends it: in a sentence, or the code of an error that has none', async (t) => {
  const told = t.capture(console, 'error')
  const exited = t.capture(process, 'exit', () => undefined as never)
  // What Node throws when it tried several addresses of a host.
  await run(async () => {
    throw Object.assign(new AggregateError([], ''), { code: 'ECONNREFUSED' })
  })
  t.same(told.args(), [['Failed: ECONNREFUSED']])
  // A start that failed may have left the embedded database open, which would keep the process.
  t.same(exited.args(), [[1]])
})

t.test('rowkeeper routes lists the routes, and needs no database', async (t) => {
  const { code, output } = await start(t, MAIN, folder(t), { DATABASE_URL: 'postgres://127.0.0.1:1/none' }, ['routes'])
    .ended
  t.equal(code, 0)
  t.match(output, /api\/tasks \(GET, HEAD, POST\)|tasks \(GET, HEAD, POST\)/)
})
