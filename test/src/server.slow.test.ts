import { once } from 'node:events'
import { statSync, symlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { SECRET, tokenFor } from '../support/app.ts'
import { folder, start } from '../support/program.ts'

const SERVER = 'src/server.js'

// These tests mostly wait for another process.
t.jobs = 3

t.test('with nothing configured it starts, prints how to try it, and keeps what it acknowledged', async (t) => {
  const cwd = folder(t)
  const run = async () => {
    const server = start(t, SERVER, cwd, { PORT: '0' })
    const [, api = ''] = await server.printed(/The API +(\S+)/)
    const [, token = ''] = await server.printed(/Bearer (\S+)'/)
    return { server, api, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' } }
  }

  const first = await run()
  t.match(first.server.output(), /Documentation +http:\/\/127\.0\.0\.1:\d+\/docs\n/)
  t.match(first.server.output(), /OpenAPI +http:\/\/127\.0\.0\.1:\d+\/openapi\.json\n/)
  t.match(first.server.output(), /BETTER_AUTH_SECRET is not set/)
  const body = JSON.stringify({ title: 'Buy milk' })
  const created = await fetch(first.api, { method: 'POST', headers: first.headers, body })
  t.equal(created.status, 201)
  // Fastify answers these before it has a route, with the root instance.
  for (const path of ['%zz', 'x'.repeat(101)]) t.equal((await fetch(`${first.api}/${path}`)).status >= 400, true)
  t.equal(statSync(join(cwd, '.data')).mode & 0o777, 0o700)
  t.equal(statSync(join(cwd, '.data/pg')).mode & 0o777, 0o700)
  t.equal(statSync(join(cwd, '.data/secret')).mode & 0o777, 0o600)

  // The lock holds for every name of the folder: with a slash, or a link.
  symlinkSync(join(cwd, '.data/pg'), join(cwd, 'link'))
  const names = ['.data/pg', '.data/pg/', 'link']
  const others = names.map((name) => start(t, SERVER, cwd, { PORT: '0', DATABASE_URL: `pglite://${name}` }).ended)
  for (const [index, { code, output }] of (await Promise.all(others)).entries()) {
    t.equal(code, 1)
    t.match(output, `The embedded database in ${names[index]} is in use by process ${first.server.child.pid} (`)
  }
  // A connection without a request does not delay the end.
  const idle = connect(Number(new URL(first.api).port), '127.0.0.1')
  await once(idle, 'connect')

  first.server.child.kill('SIGTERM')
  t.match(await first.server.ended, { code: 0, signal: null })

  const again = await run()
  const list = await fetch(again.api, { headers: first.headers })
  t.equal(list.status, 200, 'the secret survived too')
  t.equal((await list.text()).includes('Buy milk'), true)

  again.server.child.kill('SIGKILL')
  await again.server.ended
  const afterKill = await run()
  t.equal(((await (await fetch(afterKill.api, { headers: first.headers })).json()) as unknown[]).length, 1)
})

t.test('production prints no token, and answers 503 while its database is away', async (t) => {
  const env = {
    NODE_ENV: 'production',
    PORT: '0',
    DATABASE_URL: 'postgres://rowkeeper@127.0.0.1:1/none',
    BETTER_AUTH_SECRET: SECRET,
    CORS_ORIGINS: 'https://app.example.com'
  }
  const server = start(t, SERVER, folder(t), env)
  const [, address = ''] = await server.printed(/listening at (http:[^"]+)/)
  const answer = await fetch(`${address}/api/tasks`, { headers: { authorization: `Bearer ${tokenFor('alice')}` } })
  t.equal(answer.status, 503)
  t.equal(answer.headers.get('retry-after'), '1')
  t.match(await answer.json(), { code: 'unavailable' })
  t.equal((await fetch(`${address}/health/ready`)).status, 503)
  t.equal((await fetch(`${address}/health/live`)).status, 200)
  t.match(server.output(), /"level":40,.*CORS_ORIGINS has no effect: .* Is CORS_ORIGIN meant\?/, 'issue 16')
  t.match(server.output(), /"code":"ECONNREFUSED","msg":"PostgreSQL cannot be reached by DATABASE_URL/, 'issue 16')
  t.notMatch(server.output(), /eyJ|127\.0\.0\.1:1\b/)
  server.child.kill('SIGTERM')
  t.match(await server.ended, { code: 0 })
})

t.test('misconfiguration is told in one sentence a fault, and nothing starts', async (t) => {
  const production = { NODE_ENV: 'production', DATABASE_URL: 'postgres://x/y', BETTER_AUTH_SECRET: SECRET }
  for (const [env, sentences] of [
    [{ ...production, BETTER_AUTH_SECRET: '' }, [/^BETTER_AUTH_SECRET is missing: /]],
    [{ ...production, BETTER_AUTH_SECRET: 'short' }, [/^BETTER_AUTH_SECRET is shorter than 32 bytes: /]],
    [{ ...production, BETTER_AUTH_SECRET: 'better-auth-secret-12345678901234567890' }, [/publicly known/]],
    [{ ...production, DATABASE_URL: '' }, [/^DATABASE_URL is missing: /]],
    [
      { ...production, DATABSE_URL: 'postgres://db/x' },
      [/^DATABSE_URL is no variable of this service: write DATABASE_URL/]
    ],
    [{ PORT: 'x', DOCS: 'maybe' }, [/^PORT is "x": /, /^DOCS is "maybe": /]]
  ] as const) {
    const { code, output } = await start(t, SERVER, folder(t), env).ended
    t.equal(code, 1)
    t.match(output.trimEnd().split('\n'), sentences)
    t.equal(output.trimEnd().split('\n').length, sentences.length, output)
  }
})

t.test('a port that is taken ends it with a sentence', async (t) => {
  const env = { NODE_ENV: 'production', DATABASE_URL: 'postgres://x/y', BETTER_AUTH_SECRET: SECRET, PORT: '0' }
  const server = start(t, SERVER, folder(t), env)
  const [, port = ''] = await server.printed(/listening at http:\/\/127.0.0.1:(\d+)/)
  const { code, output } = await start(t, SERVER, folder(t), { ...env, PORT: port }).ended
  t.equal(code, 1)
  t.match(output, /^Failed: listen EADDRINUSE/m)
})

t.test('an error that nobody caught is logged and ends it', async (t) => {
  const env = { NODE_ENV: 'production', DATABASE_URL: 'postgres://x/y', BETTER_AUTH_SECRET: SECRET, PORT: '0' }
  const server = start(t, 'test/support/crash.js', folder(t), env)
  await server.printed(/listening at/)
  server.child.kill('SIGUSR2')
  const { code, output } = await server.ended
  t.equal(code, 1)
  t.match(output, 'closing after an error that nobody caught')
})

t.test('with published keys there is no token to print', async (t) => {
  const cwd = folder(t)
  const server = start(t, SERVER, cwd, {
    PORT: '0',
    DOCS: 'off',
    DATABASE_URL: 'postgres://x/y',
    BETTER_AUTH_URL: 'http://127.0.0.1:1'
  })
  await server.printed(/Documentation +http:\S+\/openapi\.json\n/)
  t.notMatch(server.output(), 'curl')
  server.child.kill('SIGTERM')
  t.match(await server.ended, { code: 0 })
})
