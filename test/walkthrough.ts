// `node dist/test/walkthrough.js`: does what docs/adding-a-resource.md says, to the letter, in a copy of the repository
// and in an application of its own, and fails where that does not work.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fetchJson } from './support/http.ts'

const repository = process.cwd()
const scratch = mkdtempSync(join(tmpdir(), 'rowkeeper-walk-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))

const run = (folder: string, command: string, ...args: string[]) =>
  execFileSync(command, args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })

const [service = '', application = ''] = readFileSync('docs/adding-a-resource.md', 'utf8').split(
  '\n## In an application of your own\n'
)

/** Writes the files that `text` names before its blocks of code, and runs its commands, in that order. */
function follow(text: string, folder: string): void {
  for (const { 1: language, 2: code = '', index } of text.matchAll(/^```(ts|sh)\n([\s\S]*?)^```$/gm)) {
    if (language === 'sh') {
      execFileSync('bash', ['-euo', 'pipefail', '-c', code], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] })
      continue
    }
    const [, appends, name] =
      /^(Append to )?`([^`]+)`:$/.exec(text.slice(0, index).trimEnd().split('\n').at(-1) ?? '') ?? []
    assert.ok(name, `no file is named for:\n${code}`)
    const file = join(folder, name)
    if (appends === undefined) {
      assert.ok(!existsSync(file), `${name} is there already`)
      mkdirSync(dirname(file), { recursive: true })
    }
    appendFileSync(file, code)
  }
}

const copy = join(scratch, 'service')
for (const file of run(repository, 'git', 'ls-files', '-co', '--exclude-standard').trim().split('\n')) {
  if (existsSync(file)) cpSync(file, join(copy, file))
}
// Lint asks it what is ignored, and the driver of the tests asks for no more than that it is there.
run(copy, 'git', 'init', '--quiet')
symlinkSync(resolve('node_modules'), join(copy, 'node_modules'))
follow(service, copy)

const app = join(scratch, 'application')
const modules = join(app, 'node_modules')
mkdirSync(join(modules, 'rowkeeper'), { recursive: true })
for (const name of readdirSync('node_modules')) symlinkSync(resolve('node_modules', name), join(modules, name))
const packed = run(repository, 'npm', 'pack', '--silent', '--pack-destination', scratch).trim()
run(join(modules, 'rowkeeper'), 'tar', 'xzf', join(scratch, packed), '--strip-components=1')
writeFileSync(join(app, 'package.json'), '{"type":"module","private":true}')
follow(application, app)
run(
  app,
  'node_modules/.bin/tsc',
  ...'--noEmit --strict --exactOptionalPropertyTypes --module nodenext --target es2023 --skipLibCheck'.split(' '),
  ...'--types node --allowImportingTsExtensions server.ts'.split(' ')
)

const env = {
  PATH: process.env.PATH,
  NODE_ENV: 'production',
  PORT: '0',
  DATABASE_URL: 'pglite://data',
  BETTER_AUTH_SECRET: 'a secret for the walk-through, which is long enough'
}
const server = spawn(process.execPath, ['--import', 'tsx', 'server.ts'], {
  cwd: app,
  env,
  stdio: ['ignore', 'pipe', 'inherit']
})
try {
  const [url] = (await once(createInterface(server.stdout), 'line')) as [string]
  const token = (sub: string) =>
    execFileSync(process.execPath, ['dist/src/commands/token.js', '--sub', sub], {
      env: { ...env, NODE_ENV: 'test' },
      encoding: 'utf8'
    }).trim()
  const [alice, bob] = [token('alice'), token('bob')]
  const call = async (token: string | undefined, method: string, path = '', body?: object) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const answer = await fetchJson(`${url}/bookmarks${path}`, { method, headers, body })
    return [answer.status, answer.json()]
  }
  const bookmark = { url: 'https://example.com' }
  const [status, [{ id }]] = (await call(alice, 'POST', '', bookmark)) as [number, [{ id: string }]]
  assert.equal(status, 200)
  assert.deepEqual(await call(alice, 'GET'), [200, [{ id, ...bookmark }]])
  assert.equal((await call(alice, 'POST', '', {}))[0], 400)
  assert.deepEqual(await call(bob, 'GET'), [200, []])
  assert.deepEqual(await call(bob, 'DELETE', `/${id}`), [200, []])
  assert.deepEqual(await call(alice, 'DELETE', `/${id}`), [200, [{ id }]])
  assert.equal((await call(undefined, 'GET'))[0], 401)
  assert.equal((await call('x.y.z', 'POST', '', bookmark))[0], 401)
} finally {
  server.kill()
}
console.log('docs/adding-a-resource.md does what it says.')
