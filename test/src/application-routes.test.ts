import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Type } from '@sinclair/typebox'
import { boolean } from 'drizzle-orm/pg-core'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import appPlugin, { type Options, serverOptions } from '../../src/app.ts'
import { ownedTable } from '../../src/db/tables.ts'
import type { App } from '../../src/http/application.ts'
import { resource } from '../../src/resource/resource.ts'
import { mount } from '../contract/mount.ts'
import { asUser, buildAlone, projectOf, testConfig } from '../support/app.ts'
import { folder } from '../support/program.ts'

/** A plugin that answers GET of a URL with the caller, if there is one. */
const plugin = (url: string) =>
  `export default async (app) => { app.get('${url}', (request) => ({ sub: request.user?.sub ?? 'nobody' })) }`

/** Starts the application with routes of a project, without a database. */
async function start(t: Test, files: Record<string, string>, options: Partial<Options> = {}) {
  const root = folder(t)
  writeFileSync(join(root, 'package.json'), '{"type":"module"}')
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), text)
  }
  const config = await testConfig({ DATABASE_URL: 'postgres://127.0.0.1:1/none' })
  const app = Fastify(serverOptions(config))
  t.teardown(() => app.close())
  await app.register(appPlugin, { ...projectOf({}), routes: join(root, 'routes'), config, ...options })
  await app.ready()
  return app
}

t.test('the routes in the folder api of a project ask for a token, and the others do not (issue 21)', async (t) => {
  const app = await start(t, {
    'routes/open/index.js': plugin('/'),
    'routes/api/mine/index.js': plugin('/'),
    'routes/api/mine/deep/named.js': plugin('/there'),
    'routes/api/hooked/index.js': plugin('/'),
    'routes/api/hooked/autohooks.js': plugin('/from-hooks')
  })
  const status = async (url: string, headers = {}) => (await app.inject({ url, headers })).statusCode
  const user = asUser('alice')
  t.equal(await status('/open'), 200)
  for (const url of ['/api/mine', '/api/mine/deep/there', '/api/session']) t.equal(await status(url, user), 200, url)
  t.same((await app.inject({ url: '/api/mine', headers: user })).json(), { sub: 'alice' })
  for (const url of ['/api/mine', '/api/mine/deep/there']) t.equal(await status(url), 401, url)
  t.equal(await status('/from-hooks'), 404, 'what hooks have is not served to anybody either')
  const info = { title: 'My api', version: '1.2.3' }
  const open = await start(t, { 'routes/open/index.js': plugin('/') }, { info })
  t.equal(open.hasRoute({ method: 'GET', url: '/open' }), true)
  t.same((await open.inject('/openapi.json')).json().info, { ...info, description: open.swagger().info.description })
})

t.test('a route outside of it whose URL is below /api is refused (issue 21)', async (t) => {
  for (const [file, url] of [
    ['routes/top.js', '/api/top'],
    ['routes/Api/index.js', '/'],
    ['routes/any.js', '/:x/mine'],
    ['routes/all.js', '/*'],
    ['routes/deep/in/index.js', '/../../x']
  ] as const) {
    const text = url.startsWith('/..') ? `export const prefixOverride = '/api/x'\n${plugin('/')}` : plugin(url)
    await t.rejects(start(t, { [file]: text }), { message: /^The route \/.* is not in the folder routes\/api/ }, file)
  }
  t.ok(await start(t, { 'routes/apiary.js': plugin('/apiary'), 'routes/foo/api/index.js': plugin('/') }))
})

t.test('a project without routes or migrations, and a prefix, are refused in sentences (issue 21)', async (t) => {
  const routes = { 'routes/open/index.js': plugin('/') }
  await t.rejects(start(t, {}), { message: /^There is no folder \S+routes, which has the routes\.$/ })
  await t.rejects(start(t, routes, { migrations: 'nowhere' }), {
    message: /^There are no migrations in \S+nowhere: run npx rowkeeper generate\.$/
  })
  await t.rejects(start(t, routes, { prefix: '/v1' }), { message: /^rowkeeper takes no prefix/ })
})

t.test('a project may have tasks of its own, instead of those of this repository (issue 22)', async (t) => {
  const url = (path: string) => new URL(`../../src/${path}.js`, import.meta.url).href
  const app = await start(t, {
    'routes/api/tasks/index.js': `
      import { Type } from '${import.meta.resolve('@sinclair/typebox')}'
      import { tasks } from '${url('db/schema')}'
      import { resource } from '${url('resource/resource')}'
      export default resource(tasks, { name: 'task', members: { title: Type.String({ maxLength: 9 }) } })`
  })
  const { components } = (await app.inject('/openapi.json')).json()
  t.equal(components.schemas.NewTask.properties.title.maxLength, 9)
  t.notOk(components.schemas.NewTask.properties.completed)
})

t.test(
  'an application without a resource starts, and its document has neither batch nor events (issue 21)',
  async (t) => {
    // This folder takes the place of the tasks of this repository.
    const app = await start(t, { 'routes/api/tasks/index.js': plugin('/') })
    const { paths } = (await app.inject('/openapi.json')).json()
    t.same(Object.keys(paths), ['/api/session', '/health/live', '/health/ready', '/api/tasks'])
    const payload = { operations: [{ resource: 'tasks', delete: { id: 1 } }] }
    const answer = await app.inject({ method: 'POST', url: '/api/batch', headers: asUser('alice'), payload })
    t.equal(answer.statusCode, 400)
    t.same(answer.json().errors, [{ in: 'body', pointer: '/operations/0', detail: 'must NOT be there' }])
  }
)

t.test('two resources of one name, or of one table, are refused (issue 21)', async (t) => {
  const members = { done: Type.Boolean() }
  const columns = () => ({ done: boolean('done').notNull() })
  const [jobs, works] = [ownedTable('jobs', columns()), ownedTable('works', columns())]
  const started = (name: string, table: typeof jobs | typeof works) =>
    buildAlone(
      t,
      {},
      (app) =>
        mount(app, resource(jobs, { name: 'job', members }), (api: App) => {
          api.register(resource(table as typeof jobs, { name, members }), { prefix: '/others' })
        }),
      projectOf({ jobs, works }).schema
    )
  await t.rejects(started('job', works), {
    message: 'Two resources are called "job", at /api/jobs and /api/others: remove or rename one.'
  })
  await t.rejects(started('chore', jobs), {
    message: 'Two resources serve the table "jobs", at /api/jobs and /api/others: remove or rename one.'
  })
})
