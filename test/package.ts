// `node dist/test/package.js`: uses the package as a team does, from its tarball, in a folder outside of the repository.
// TEST_NODE is the folder of another Node.js, on which the project in plain JavaScript then runs. With TEST_DATABASE_URL,
// an administrator's, the tests of that run on PostgreSQL, and the first project is shipped as its Dockerfile says,
// without Docker (.ci/ship).
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { delimiter, join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import postgres from 'postgres'
import { freePort } from './support/free-port.ts'
import { attempt, caller, LISTENING, pack, runner, scratchFolder, serve, until, within } from './support/outside.ts'
import { inherited, launch, type Program } from './support/program.ts'

const repository = process.cwd()
const scratch = scratchFolder('package')
// The image is run as another user.
chmodSync(scratch, 0o755)

const database = process.env.TEST_DATABASE_URL

const project = join(scratch, 'my-api')
const plain = join(scratch, 'plain-api')

const env = inherited()
const run = runner(env)

/** Where the package's command is, in a project. */
const ROWKEEPER = 'node_modules/.bin/rowkeeper'

const production: NodeJS.ProcessEnv = {
  ...env,
  NODE_ENV: 'production',
  PORT: '0',
  DATABASE_URL: 'pglite://data',
  BETTER_AUTH_SECRET: 'a secret for the package, which is long enough'
}

/** Starts the project as its image does. */
const start = (settings: NodeJS.ProcessEnv = {}) =>
  launch(process.execPath, [ROWKEEPER, 'start'], project, { ...production, ...settings })

function makeProject(): void {
  const tarball = pack(repository, scratch)
  run(
    scratch,
    'npm',
    'exec',
    '--yes',
    `--package=${tarball}`,
    '--',
    'rowkeeper',
    'init',
    'my-api',
    '--rowkeeper',
    tarball
  )
}

/** Whether nobody listens on a port. */
const isFree = async (port: number) => {
  try {
    await fetch(`http://127.0.0.1:${port}/health/live`)
    return false
  } catch {
    return true
  }
}

/** `npm start` prints a request that works, and the service ends with npm. */
async function startWithNpm(folder: string, settings: NodeJS.ProcessEnv = env): Promise<void> {
  const port = await freePort()
  const npm = launch('npm', ['start'], folder, { ...settings, PORT: String(port) })
  await serve(npm, /^ {2}curl [\s\S]*?\/api\/notes(?=\n)/m, async (curl) => {
    const page = await fetch(`http://127.0.0.1:${port}/docs`)
    assert.equal(page.status, 200)
    assert.match(await page.text(), /<html/)
    const answer = run(scratch, 'bash', '-c', `${curl} --silent --show-error --write-out ' %{http_code}'`)
    assert.match(answer, /^\{.*"text":"Water the plants".*\} 201$/)
  })
  assert.ok(await isFree(port), 'the service ends with npm')
}

/** Runs tests with Node.js's own runner, and requires that there are some: it also succeeds when it finds none. */
function test(folder: string, settings: NodeJS.ProcessEnv, command: string, ...args: string[]): void {
  const printed = runner(settings)(folder, command, ...args)
  const [, passed = '0'] = /^\W+pass (\d+)$/m.exec(printed) ?? []
  assert.ok(Number(passed) > 20, printed)
  console.log(`  ${passed} tests passed`)
}

/** A route of a team's own: what the plugins add to the types of Fastify is there, and a caller is asked for. */
const OWN_ROUTE = `import { type App, BODY_ERRORS, operation, Type } from 'rowkeeper/resource'
import notes from '../index.ts'

export default async function unpin(app: App): Promise<void> {
  const store = app.store(notes.declaration)
  const schema = operation(notes.declaration.words, 'write', {
    operationId: 'unpinNote',
    summary: 'Unpin a note',
    success: { 200: { ...Type.Object({ unpinned: Type.Boolean() }), description: 'Done' } },
    errors: BODY_ERRORS
  })
  const params = Type.Object({ id: Type.String() })
  app.post('/:id', { onRequest: app.requireScope('notes:write'), schema: { ...schema, params } }, (request) =>
    app.transaction(request.user.sub, async (transaction) => {
      await store.update(request.user.sub, request.params.id, { pinned: false }, undefined, transaction)
      return { unpinned: true }
    }, { within: request.deadline })
  )
}
`

/** Compiles a route beside the resource, and one of an application that registers the plugin itself. */
function addRoute(): void {
  const folder = join(project, 'routes/api/notes/unpin')
  mkdirSync(folder)
  writeFileSync(join(folder, 'index.ts'), OWN_ROUTE)
  const [, application = ''] =
    /```ts\n(import Fastify from 'fastify'\nimport rowkeeper[\s\S]*?)```/.exec(readFileSync('README.md', 'utf8')) ?? []
  assert.notEqual(application, '', 'the README registers the plugin')
  writeFileSync(
    join(project, 'app.ts'),
    `${application}app.get('/mine', { onRequest: app.authenticate }, ({ user }) => user.sub)\n`
  )
  run(project, 'npm', 'run', 'build')
  assert.match(run(project, 'npx', 'rowkeeper', 'routes'), /unpin/)
}

function addResource(): void {
  run(project, 'npx', 'rowkeeper', 'add', 'bookmarks')
  run(project, 'npm', 'run', 'generate', '--', '--name', 'bookmarks')
  run(project, 'npm', 'run', 'build')
  test(join(project, 'dist'), env, process.execPath, '--test', 'test/bookmarks.test.js')
}

interface Operation {
  parameters?: { in: string; name: string; required?: boolean }[]
  requestBody?: { content: object }
  responses: Record<string, { headers?: object }>
}

type Paths = Record<string, Record<string, Operation>>

/** The filters of the notes and of the tasks. */
const FILTERS = ['pinned', 'q', 'remindBefore', 'completed', 'dueBefore', 'dueAfter']

/** What the clients of a resource rely on, whatever its members are. */
const contractOf = ({ parameters = [], requestBody, responses }: Operation) => ({
  parameters: parameters
    .filter(({ name }) => !FILTERS.includes(name))
    .map(({ in: place, name, required }) => ({ place, name, required })),
  bodies: Object.keys(requestBody?.content ?? {}),
  answers: Object.entries(responses).map(([status, { headers = {} }]) => ({ status, headers: Object.keys(headers) }))
})

/** The paths of a service, whose tasks are called notes. */
async function pathsOf(server: Program): Promise<Paths> {
  let document = ''
  await serve(server, LISTENING, async (url) => {
    document = await (await fetch(`${url}/openapi.json`)).text()
  })
  const { paths } = JSON.parse(document.replaceAll('task', 'note').replaceAll('Task', 'Note')) as { paths: Paths }
  for (const [path, operations] of Object.entries(paths)) {
    if (!path.startsWith('/api/notes')) continue
    for (const [method, operation] of Object.entries(operations)) {
      Object.assign(operations, { [method]: contractOf(operation) })
    }
  }
  return paths
}

async function compareContracts(): Promise<void> {
  const own = launch(process.execPath, ['dist/src/server.js'], repository, {
    ...production,
    DATABASE_URL: `pglite://${join(scratch, 'own')}`
  })
  const expected = await pathsOf(own)
  assert.ok(Object.keys(expected).filter((path) => path.startsWith('/api/notes')).length > 3, 'it has the tasks')
  assert.deepEqual(await pathsOf(start()), expected)
}

/** A create whose head the service has read, and whose body it waits for. */
async function beginCreate(port: number, token: string, body: string) {
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    expect: '100-continue'
  }
  const create = request({ host: '127.0.0.1', port, method: 'POST', path: '/api/notes', headers })
  const answered = once(create, 'response')
  create.flushHeaders()
  await within(10, 'the service asks for the body', once(create, 'continue'))
  return async () => {
    create.end(body)
    const [response] = await within(10, 'the create is answered', answered)
    return [response.statusCode, await text(response)]
  }
}

/** What production needs is asked for, in a sentence and with exit code 1. */
function refuse(settings: NodeJS.ProcessEnv, sentence: RegExp): void {
  const { status, stderr } = attempt({ ...production, ...settings }, project, process.execPath, ROWKEEPER, 'start')
  assert.equal(status, 1, stderr)
  assert.match(stderr, sentence)
  assert.doesNotMatch(stderr, /^\s+at /m)
}

async function runInProduction(): Promise<void> {
  refuse({ DATABASE_URL: '' }, /DATABASE_URL/)
  const [port, metricsPort] = [await freePort(), await freePort()]
  const server = start({ PORT: String(port), METRICS_PORT: String(metricsPort) })
  await serve(server, LISTENING, async (url) => {
    refuse({}, /another process|in use/i)
    const status = async (path: string) => (await fetch(`${url}${path}`)).status
    assert.equal(await status('/health/ready'), 200)
    const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
    assert.match(metrics, /^http_request.*route="\/health\/ready"/m)

    const token = runner({ ...production, NODE_ENV: 'test' })(
      project,
      process.execPath,
      ROWKEEPER,
      'token',
      '--sub',
      'alice'
    )
    assert.deepEqual(await caller(`${url}/api/notes`)(token.trim(), 'GET'), [200, []])
    const finish = await beginCreate(port, token.trim(), '{"text":"In flight"}')
    server.child.kill()
    await until('it is not ready', async () => (await isFree(port)) || (await status('/health/ready')) === 503)
    const [created, note] = await finish()
    assert.equal(created, 201, note)
    assert.equal((await within(10, 'it ends', server.ended)).code, 0)
  })
}

/** The same project without TypeScript, and with what is installed for the first. */
async function usePlainProject(): Promise<void> {
  run(scratch, process.execPath, join(project, ROWKEEPER), 'init', 'plain-api', '--javascript', '--no-install')
  symlinkSync(join(project, 'node_modules'), join(plain, 'node_modules'))
  const folder = process.env.TEST_NODE
  const settings = folder === undefined ? env : { ...env, PATH: `${resolve(folder)}${delimiter}${env.PATH}` }
  console.log(`  on Node ${runner(settings)(plain, 'node', '--version').trim()}`)
  await startWithNpm(plain, settings)
  test(plain, { ...settings, TEST_DATABASE_URL: database }, 'npm', 'test')
}

async function ship(server: string): Promise<void> {
  const name = `rowkeeper_package_${process.pid}`
  const admin = postgres(server, { max: 1, onnotice: () => {} })
  await admin.unsafe(`create database ${name}`)
  try {
    const { href } = Object.assign(new URL(server), { pathname: `/${name}` })
    console.log(run(project, join(repository, '.ci/ship'), join(scratch, 'shipped'), href).trimEnd())
  } finally {
    await admin.unsafe(`drop database ${name} with (force)`)
    await admin.end()
  }
}

const STEPS: [what: string, step: () => void | Promise<void>][] = [
  ['A project is made of the tarball, and installed', makeProject],
  ['npm start serves it, and the request that it prints works', () => startWithNpm(project)],
  ['npm test passes', () => test(project, env, 'npm', 'test')],
  ['The contract is that of the tasks', compareContracts],
  ['Production refuses what it must, and ends its requests', runInProduction],
  ['npm run load finds no fault', () => void run(project, 'npm', 'run', 'load', '--', '--quick')],
  ['The same in plain JavaScript', usePlainProject],
  ['A route of its own compiles', addRoute],
  ['A resource is added, and its test passes', addResource],
  ...(database === undefined ? [] : [['Its image works', () => ship(database)] as [string, () => Promise<void>]])
]

for (const [what, step] of STEPS) {
  const begun = performance.now()
  console.log(what)
  await step()
  console.log(`  ${((performance.now() - begun) / 1000).toFixed(1)} s`)
}
console.log('The package does what its README says.')
