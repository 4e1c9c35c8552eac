import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import t, { type Test } from 'tap'
import { developmentSecret, SECRET_FILE } from '../../../src/auth/development-secret.ts'
import { developmentToken } from '../../../src/auth/development-token.ts'
import { loadConfig } from '../../../src/config/config.ts'
import { SECRET } from '../../support/app.ts'
import { guard } from '../../support/guard.ts'

/** Goes to an empty folder until the end of the test. */
function enterFolder(t: Test): void {
  const back = process.cwd()
  process.chdir(t.testdir())
  t.teardown(() => process.chdir(back))
}

t.test('without a secret one is made, kept for its owner only, and used', async (t) => {
  enterFolder(t)
  const secret = developmentSecret()
  t.equal(Buffer.from(secret, 'base64').length, 32)
  t.equal(developmentSecret(), secret)
  t.equal(readFileSync(SECRET_FILE, 'utf8'), secret)
  t.equal(statSync(SECRET_FILE).mode & 0o777, 0o600)
  const token = await developmentToken(loadConfig({ NODE_ENV: 'test' }), 'alice')
  t.match(await (await guard(t, {})).call(token), { status: 200, sub: 'alice' })
})

t.test('a development token passes, with the issuer and audience that are asked for', async (t) => {
  const env = { BETTER_AUTH_SECRET: SECRET, JWT_ISSUER: 'a', JWT_AUDIENCE: 'x', ALGORITHM: 'HS512' }
  const token = await developmentToken(loadConfig({ NODE_ENV: 'test', ...env }), 'alice', { minutes: 5 })
  const { exp, iat } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  t.equal(exp - iat, 300)
  t.match(await (await guard(t, env)).call(token), { status: 200, sub: 'alice' })
})

t.test('a development token is refused in production, with published keys, and for too long', async (t) => {
  const env = { BETTER_AUTH_SECRET: `${SECRET}!`, DATABASE_URL: 'postgres://127.0.0.1/none' }
  const production = loadConfig({ NODE_ENV: 'production', ...env })
  await t.rejects(developmentToken(production, 'alice'), /not made in production/)
  const keys = loadConfig({ NODE_ENV: 'test', BETTER_AUTH_URL: 'https://app.example.com' })
  await t.rejects(developmentToken(keys, 'alice'), /published keys/)
  const config = loadConfig({ NODE_ENV: 'test', BETTER_AUTH_SECRET: SECRET })
  for (const minutes of [0, -1, 31, Number.NaN])
    await t.rejects(developmentToken(config, 'alice', { minutes }), /1 to 30/)
})

t.test('a secret that cannot be kept is an error', async (t) => {
  enterFolder(t)
  const folder = dirname(SECRET_FILE)
  mkdirSync(folder)
  // A link cannot take its place, and it cannot be read.
  symlinkSync('nowhere', SECRET_FILE)
  t.throws(() => developmentSecret(), { code: 'ENOENT' })
  t.same(readdirSync(folder), [basename(SECRET_FILE)])
})
