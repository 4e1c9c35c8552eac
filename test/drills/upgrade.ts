// A database with rows of an earlier version is upgraded to the present one. Both are packages. The present one serves a
// project that has the tasks of this repository as its own, as a team makes it that has copied the earlier repository.
// TEST_DATABASE_URL is an administrator's.
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { fetchJson } from '../support/http.ts'
import { attempt, eventsOf, installTarball, pack, runner, within } from '../support/outside.ts'
import { afterwards, drill, expect, folder, service, tokenOf } from './kit.ts'

/** The last commit before the service's own tables had migrations of their own (drizzle/system). */
const EARLIER = '6aca5271f1a8c0545f676b67c15a0f4a971e17c3'

const repository = fileURLToPath(new URL('../../..', import.meta.url))
const server = process.env.TEST_DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'

const run = runner(process.env)
const node = (cwd: string, ...args: string[]) => run(cwd, process.execPath, ...args)

/** The command `rowkeeper`, and what serves, in a folder that has installed the package. */
const ROWKEEPER = 'node_modules/rowkeeper/dist/src/commands/main.js'
const SERVER = 'node_modules/rowkeeper/dist/src/server.js'

/** A repository: where it is, the package that is made of it, and its resources. */
interface Repository {
  root: string
  tarball: string
  resources: string[]
}

/**
 * The earlier repository, without what is only tested or read. Its modules and its compiler are today's: nothing is
 * downloaded, and its builds take less time.
 */
function checkOut(): string {
  const [archive, root] = [join(folder(), 'earlier.tar'), folder()]
  const parts = [':!test', ':!docs', ':!examples']
  run(repository, 'git', 'archive', '--output', archive, EARLIER, '.', ...parts)
  run(root, 'tar', 'xf', archive)
  symlinkSync(join(repository, 'node_modules'), join(root, 'node_modules'))
  const compiler = JSON.stringify(join(root, 'node_modules/@typescript/native/lib/tsc.js'))
  const script = join(root, 'build.js')
  const earlier = "createRequire(resolve('package.json')).resolve('typescript/bin/tsc')"
  writeFileSync(script, readFileSync(script, 'utf8').replace(earlier, compiler))
  return root
}

function build(root: string, resources: string[]): Repository {
  node(root, 'build.js')
  return { root, tarball: pack(root, folder()), resources }
}

/** Adds a resource to a copy of this repository, with a migration that is later than all of those that it came with. */
function addResource(root: string, name: string): void {
  node(root, join(repository, 'dist/src/commands/main.js'), 'add', name)
  rmSync(join(root, 'test'), { recursive: true })
  run(root, 'node_modules/.bin/drizzle-kit', 'generate', '--name', name)
}

/** A file of a copy of this repository as one of a project, which imports the package. */
const ported = (text: string) =>
  text
    .replace(
      /(?<= from )'(?:@sinclair\/typebox|drizzle-orm\/pg-core|[./]*(?:src\/resource\/resource|tables)\.ts)'/g,
      () => "'rowkeeper/resource'"
    )
    .replace('src/db/schema.ts', 'schema.ts')

/** Makes a project of what is a team's own in its copy of this repository, with the package in a tarball. */
function makeProject({ root, resources }: Repository, tarball: string): string {
  const project = join(folder(), 'my-api')
  node(repository, 'dist/src/commands/main.js', 'init', project, '--no-install', '--rowkeeper', tarball)
  for (const part of ['drizzle', 'routes', 'test']) rmSync(join(project, part), { recursive: true })
  const routes = resources.map((name) => `routes/api/${name}/index.ts`)
  for (const [from, to] of [
    ['src/db/schema.ts', 'schema.ts'],
    ...routes.map((file) => [file, file] as const)
  ] as const) {
    mkdirSync(dirname(join(project, to)), { recursive: true })
    writeFileSync(join(project, to), ported(readFileSync(join(root, from), 'utf8')))
  }
  cpSync(join(root, 'drizzle'), join(project, 'drizzle'), { recursive: true })
  rmSync(join(project, 'drizzle/system'), { recursive: true, force: true })
  installTarball(repository, project, tarball)
  node(project, ROWKEEPER, 'build')
  return project
}

/** Calls the service on a port, for a user. */
const client = (port: number, user: string) => (method: string, path: string, body?: object, key?: string) =>
  fetchJson<{ id: string; version: number }>(`http://127.0.0.1:${port}/api/${path}`, {
    method,
    headers: { authorization: `Bearer ${tokenOf(user)}`, ...(key !== undefined && { 'idempotency-key': key }) },
    body
  })

const KEY = 'the-first-task-of-alice'
const FIRST = { title: 'First' }

/** Opens the stream of alice's tasks. */
function stream(port: number) {
  const closing = new AbortController()
  const events = eventsOf(`http://127.0.0.1:${port}/api/tasks/events`, tokenOf('alice'), closing.signal)
  return {
    next: async () => (await within(20, 'an event', events.next())).value,
    async close() {
      closing.abort()
      await events.return(undefined).catch(() => undefined)
    }
  }
}

/** What alice and bob have. */
const listsOf = async (port: number, resources: string[]) => {
  const lists = ['alice', 'bob'].flatMap((user) => resources.map((name) => client(port, user)('GET', name)))
  return (await Promise.all(lists)).map(({ text }) => text)
}

/** Writes rows, and returns the answer to the create with the key. */
async function write(port: number, resources: string[]): Promise<string> {
  const [alice, bob] = [client(port, 'alice'), client(port, 'bob')]
  const events = stream(port)
  await events.next()
  const first = await alice('POST', 'tasks', FIRST, KEY)
  const second = (await alice('POST', 'tasks', { title: 'Second', dueAt: '2030-01-31T09:00:00+01:00' })).json()
  const changed = await alice('PATCH', `tasks/${second.id}`, { completed: true })
  await bob('POST', 'tasks', { title: "Bob's", description: 'Nobody else sees it' })
  for (const name of resources.filter((one) => one !== 'tasks')) await alice('POST', name, { name: 'Of a fork' })
  await events.next()
  await events.close()
  expect(first.status === 201 && changed.json().version === 2, `the earlier version writes tasks: ${first.text}`)
  return first.text
}

/** The rows are as they were, and the service does what it did. */
async function compare(port: number, resources: string[], lists: string[], first: string): Promise<void> {
  const kept = await listsOf(port, resources)
  const full = kept.filter((list) => list.length > 2).length
  expect(JSON.stringify(kept) === JSON.stringify(lists) && full > resources.length, 'all rows are as they were')
  const alice = client(port, 'alice')
  const again = await alice('POST', 'tasks', FIRST, KEY)
  const replayed = again.headers.get('idempotency-replayed') === 'true'
  expect(replayed && again.status === 201 && again.text === first, 'a repeated create has its first answer')
  const events = stream(port)
  expect((await events.next())?.event === 'reload', 'the stream of changes opens')
  const created = await alice('POST', 'tasks', { title: 'Third' })
  const event = await events.next()
  await events.close()
  const told = event?.event === 'created' && event.data.includes(created.json().id)
  expect(created.status === 201 && told, 'a new task is told')
}

async function upgrade(earlier: Repository, project: string, url: string): Promise<void> {
  const before = folder()
  installTarball(repository, before, earlier.tarball)
  const env = { ...process.env, DATABASE_URL: url }
  // The embedded engine migrates when it starts.
  const migrates = url.startsWith('postgres')
  if (migrates) runner(env)(before, process.execPath, 'node_modules/rowkeeper/dist/src/commands/migrate.js')
  const old = await service({ DATABASE_URL: url }, join(before, SERVER), before)
  const first = await write(old.port, earlier.resources)
  const lists = await listsOf(old.port, earlier.resources)
  await old.stop('SIGTERM')

  if (migrates) {
    const secret = {
      NODE_ENV: 'production',
      PORT: '0',
      BETTER_AUTH_SECRET: 'a secret that is not used, but long enough'
    }
    const { status, stderr } = attempt({ ...env, ...secret }, project, process.execPath, ROWKEEPER, 'start')
    expect(status === 1 && /: run npx rowkeeper migrate\./.test(stderr), `it refuses to start: ${stderr.trim()}`)
    runner(env)(project, process.execPath, ROWKEEPER, 'migrate')
  }
  const present = await service({ DATABASE_URL: url }, join(project, SERVER), project)
  await compare(present.port, earlier.resources, lists, first)
  await present.stop('SIGTERM')
}

async function newDatabase(name: string): Promise<string> {
  const database = `rowkeeper_upgrade_${process.pid}_${name}`
  const admin = postgres(server, { max: 1, onnotice: () => {} })
  await admin.unsafe(`create database ${database}`)
  afterwards(async () => {
    await admin.unsafe(`drop database ${database} with (force)`)
    await admin.end()
  })
  return Object.assign(new URL(server), { pathname: `/${database}` }).href
}

function generate(project: string): void {
  expect(node(project, ROWKEEPER, 'generate').includes('No schema changes'), 'its tables need no further migration')
}

if (run(repository, 'git', 'rev-parse', '--is-shallow-repository').trim() === 'true') {
  console.log(`Not done: this clone is shallow, so it may not have the earlier version, ${EARLIER}.`)
  process.exit(0)
}

await drill('A database of the version before the service had migrations of its own', async () => {
  const tarball = pack(repository, folder())
  const root = checkOut()
  const copy = build(root, ['tasks'])
  const project = makeProject({ ...copy, root: repository }, tarball)
  console.log('As this repository has it, on PostgreSQL')
  await upgrade(copy, project, await newDatabase('copy'))
  generate(project)
  console.log('The same on the embedded engine')
  await upgrade(copy, project, `pglite://${join(folder(), 'pg')}`)

  console.log('With a later migration of its own')
  addResource(root, 'labels')
  const fork = build(root, ['tasks', 'labels'])
  const forked = makeProject(fork, tarball)
  await upgrade(fork, forked, await newDatabase('fork'))
  generate(forked)
})
