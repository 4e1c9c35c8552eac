// `node dist/test/walkthrough.js`: does what docs/adding-a-resource.md says, to the letter, in a copy of the repository,
// and what docs/single-plugins.md says, in an application of its own. It fails where that does not work. Words select
// one of the two: `… walkthrough.js plugins`.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFileSync, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { caller, eventsOf, installTarball, LISTENING, pack, runner, scratchFolder, serve } from './support/outside.ts'
import { launch } from './support/program.ts'

const repository = process.cwd()
const scratch = scratchFolder('walk')

const env = {
  PATH: process.env.PATH,
  NODE_ENV: 'production',
  PORT: '0',
  DATABASE_URL: 'pglite://data',
  BETTER_AUTH_SECRET: 'a secret for the walk-through, which is long enough'
}

const run = runner(process.env)

/** Runs a program of Node with the environment of production and nothing else. */
const node = (folder: string, ...args: string[]) => runner(env)(folder, process.execPath, ...args)

/** Writes the files that a document names before its blocks of code, and runs its commands, in that order. */
function follow(document: string, folder: string): void {
  const text = readFileSync(document, 'utf8')
  for (const { 1: language, 2: code = '', index } of text.matchAll(/^```(ts|sh)\n([\s\S]*?)^```$/gm)) {
    if (language === 'sh') {
      execFileSync('bash', ['-euo', 'pipefail', '-c', code], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] })
      continue
    }
    const [, appends, name] =
      /(Append to )?`([^`]+)`:$/.exec(text.slice(0, index).trimEnd().split('\n').at(-1) ?? '') ?? []
    assert.ok(name, `no file is named for:\n${code}`)
    const file = join(folder, name)
    if (appends === undefined) {
      assert.ok(!existsSync(file), `${name} is there already`)
      mkdirSync(dirname(file), { recursive: true })
    }
    appendFileSync(file, code)
  }
}

/** Compiles a file of an application as strictly as its author may. */
const compile = (folder: string, file: string) =>
  run(
    folder,
    'node_modules/.bin/tsc',
    ...'--noEmit --strict --exactOptionalPropertyTypes --module nodenext --target es2023 --skipLibCheck'.split(' '),
    ...'--types node --allowImportingTsExtensions --ignoreConfig'.split(' '),
    file
  )

const token = (sub: string) =>
  execFileSync(process.execPath, ['dist/src/commands/main.js', 'token', '--sub', sub], {
    env: { ...env, NODE_ENV: 'test' },
    encoding: 'utf8'
  }).trim()

/** The tests that know of every route, table or migration. They must pass with a resource more. */
const EVERYTHING = [
  'typed-client.slow',
  'lint',
  'plugins/openapi',
  'routes/tokens',
  'src/app',
  'src/commands/user.slow',
  'src/db/migrate',
  'src/db/owned',
  'src/db/retention',
  'src/db/settings',
  'src/db/storage-quota',
  'src/http/problems'
]

/** Runs them in one process. */
const RUN_EVERYTHING = `import { runFiles } from './support/run-suite.ts'

const files = ${JSON.stringify(EVERYTHING)}
runFiles(files.map((name) => new URL(\`\${name}.test.js\`, import.meta.url)), new URL('.', import.meta.url))
`

const CLIENT = `import createClient from 'openapi-fetch'
import type { components, paths } from './api.d.ts'

type Note = components['schemas']['Note']
const api = createClient<paths>({ baseUrl: 'http://127.0.0.1:3000' })
const { data = [], error } = await api.GET('/api/notes', { params: { query: { pinned: true, sort: '-remindAt' } } })
for (const { text, pinned, remindAt } of data satisfies Note[]) {
  console.log(text.length, pinned === true, remindAt?.length, error?.code === 'note_not_found')
}
const change: components['schemas']['NoteChange'] = { remindAt: null }
await api.PATCH('/api/notes/{id}', { params: { path: { id: '' } }, body: change })
// @ts-expect-error: a note needs a text
const empty: components['schemas']['NewNote'] = {}
await api.POST('/api/notes/batch', { body: { create: [empty], delete: [{ id: '' }] } })
`

interface Note {
  id: string
  text: string
  version: number
}

/** What notebooks have to do with notes. Alice has as many notes afterwards as before. */
async function useNotebooks(url: string, [alice, bob]: [string, string]): Promise<void> {
  const call = caller(`${url}/api`)
  const [, { id }] = (await call(alice, 'POST', '/notebooks', { name: 'Garden' })) as [number, Note]
  const refused = async (token: string, path: string, body: object, code: string) => {
    const [, problem] = await call(token, 'POST', path, body)
    assert.equal((problem as { code: string }).code, code)
  }
  await refused(alice, '/notebooks', { name: 'garden' }, 'not_unique')
  await refused(alice, '/notebooks', { name: ' x' }, 'validation_failed')
  await refused(bob, '/notes', { text: 'x', notebookId: id }, 'no_such_reference')
  const create = { text: 'Water the plants', notebookId: id }
  const [, batch] = await call(alice, 'POST', '/batch', { operations: [{ resource: 'notes', create }] })
  assert.equal((batch as { results: { created: { notebookId: string } }[] }).results[0]?.created.notebookId, id)
  assert.equal((await call(alice, 'DELETE', `/notebooks/${id}`))[0], 200)
  assert.deepEqual(await call(alice, 'GET', `/notes?notebook=${id}`), [200, []])
}

/** What a resource has that no line of the document is about, in the service as it ships. */
async function useNotes(folder: string, url: string): Promise<void> {
  const call = caller(`${url}/api/notes`)
  const [alice, bob] = [token('alice'), token('bob')]
  const stop = new AbortController()
  const events = eventsOf(`${url}/api/notes/events`, alice, stop.signal)
  assert.equal((await events.next()).value?.event, 'reload')

  const [, first] = (await call(alice, 'POST', '', { text: 'One' })) as [number, Note]
  const batch = { create: [{ text: 'Two' }], update: [{ id: first.id, change: { pinned: true } }] }
  const [status, done] = (await call(alice, 'POST', '/batch', batch)) as [number, Record<string, Note[]>]
  assert.deepEqual([status, done.created?.[0]?.text, done.updated?.[0]?.version], [200, 'Two', 2])
  const told: unknown[] = []
  while (told.length < 3) {
    const { event, data } = (await events.next()).value ?? { data: '{}' }
    told.push([event, JSON.parse(data).note.text])
  }
  assert.deepEqual(told.sort(), [
    ['created', 'One'],
    ['created', 'Two'],
    ['updated', 'One']
  ])
  stop.abort()
  await events.return(undefined).catch(() => undefined)

  const foreign = await call(bob, 'POST', '/batch', { delete: [{ id: first.id }] })
  assert.equal(foreign[0], 404)
  assert.equal((foreign[1] as { code: string }).code, 'note_not_found')
  assert.deepEqual(await call(bob, 'GET'), [200, []])
  assert.equal((await call(bob, 'POST', '', { text: "Bob's" }))[0], 201)
  await useNotebooks(url, [alice, bob])

  run(folder, 'node_modules/.bin/openapi-typescript', `${url}/openapi.json`, '-o', 'walk/api.d.ts')
  writeFileSync(join(folder, 'walk/client.ts'), CLIENT)
  compile(folder, 'walk/client.ts')
}

async function walkService(): Promise<void> {
  const copy = join(scratch, 'service')
  for (const file of run(repository, 'git', 'ls-files', '-co', '--exclude-standard').trim().split('\n')) {
    if (existsSync(file)) cpSync(file, join(copy, file))
  }
  // Lint asks it what is ignored, and the driver of the tests asks for no more than that it is there.
  run(copy, 'git', 'init', '--quiet')
  symlinkSync(resolve('node_modules'), join(copy, 'node_modules'))
  writeFileSync(join(copy, 'test/everything.ts'), RUN_EVERYTHING)
  follow('docs/adding-a-resource.md', copy)
  execFileSync('npm', ['test', '--', '--reporter=terse', 'dist/test/everything.js'], {
    cwd: copy,
    stdio: ['ignore', 'inherit', 'inherit']
  })

  await serve(launch(process.execPath, ['dist/src/server.js'], copy, env), LISTENING, (url) => useNotes(copy, url))
  const exported = () => node(copy, 'dist/src/commands/main.js', 'export', '--sub', 'alice')
  const tables = (lines: string) => lines.match(/(?<="table" : ")\w+/g)
  assert.deepEqual(
    tables(exported())?.filter((table) => table === 'notes'),
    ['notes', 'notes']
  )
  const purged = node(copy, 'dist/src/commands/main.js', 'purge', '--sub', 'alice', '--confirm', 'alice')
  assert.match(purged, /^notes: 2 deleted$/m)
  assert.equal(tables(exported()), null)
  assert.match(node(copy, 'dist/src/commands/main.js', 'export', '--sub', 'bob'), /Bob's/)
}

async function walkApplication(): Promise<void> {
  const app = join(scratch, 'application')
  installTarball(repository, app, pack(repository, scratch))
  writeFileSync(join(app, 'package.json'), '{"type":"module","private":true}')
  follow('docs/single-plugins.md', app)
  compile(app, 'server.ts')

  const server = launch(process.execPath, ['--import', 'tsx', 'server.ts'], app, env)
  await serve(server, /^http:.*(?=\n)/m, async (url) => {
    const [alice, bob] = [token('alice'), token('bob')]
    const call = caller(`${url}/bookmarks`)
    const bookmark = { url: 'https://example.com' }
    const [status, [{ id }]] = (await call(alice, 'POST', '', bookmark)) as [number, [{ id: string }]]
    assert.equal(status, 200)
    assert.deepEqual(await call(alice, 'GET'), [200, [{ id, ...bookmark }]])
    assert.equal((await call(alice, 'POST', '', {}))[0], 400)
    assert.deepEqual(await call(bob, 'GET'), [200, []])
    assert.deepEqual(await call(bob, 'DELETE', `/${id}`), [200, []])
    const [status400, refused] = await call(alice, 'DELETE', '/malformed')
    assert.equal(status400, 400)
    assert.doesNotMatch(JSON.stringify(refused), /uuid|syntax|delete/i)
    assert.deepEqual(await call(alice, 'DELETE', `/${id}`), [200, [{ id }]])
    assert.equal((await call(undefined, 'GET'))[0], 401)
    assert.equal((await call('x.y.z', 'POST', '', bookmark))[0], 401)
  })
}

const WALKS = { resource: walkService, plugins: walkApplication }

for (const [name, walk] of Object.entries(WALKS)) {
  if (process.argv.length === 2 || process.argv.includes(name)) await walk()
}
console.log('The documents do what they say.')
