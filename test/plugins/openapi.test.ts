import { createConfig, lintFromString } from '@redocly/openapi-core'
import { Type } from '@sinclair/typebox'
import { boolean } from 'drizzle-orm/pg-core'
import Fastify from 'fastify'
import t from 'tap'
import autohooks from '../../routes/api/autohooks.ts'
import appPlugin, { serverOptions } from '../../src/app.ts'
import { ownedTable } from '../../src/db/tables.ts'
import type { App } from '../../src/http/application.ts'
import { resource } from '../../src/resource/resource.ts'
import { asUser, build, buildAlone, newUser, projectOf, routesOf, testConfig } from '../support/app.ts'
import samples from '../support/samples.ts'

/** What the linter says of a document. */
async function lint(source: string): Promise<string[]> {
  const config = await createConfig({ extends: ['recommended'], rules: { 'no-server-example.com': 'off' } })
  const problems = await lintFromString({ source, config })
  return problems.map(({ ruleId, message, location }) => `${ruleId}: ${message} ${location[0]?.pointer}`)
}

t.test('the document describes every route, and lints clean', async (t) => {
  const app = await buildAlone(t)
  const answer = await app.inject('/openapi.json')
  t.match(answer.headers['content-type'], 'application/json')
  t.equal((await app.inject('/openapi.json')).body, answer.body)
  const document = answer.json()
  t.equal(document.openapi, '3.1.0')

  const described = Object.entries<object>(document.paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path.replace(/(?<=.)\/$/, '')}`)
  )
  const served = (routesOf.get(app) ?? [])
    .filter(({ method, url }) => /^\/(api|health)\//.test(url) && method !== 'HEAD')
    .map(({ method, url }) => `${method} ${url.replace(':id', '{id}')}`)
  t.same(described.sort(), served.sort())

  interface Response {
    description: string
    content?: Record<string, { example?: object }>
  }
  const operations = Object.values<Record<string, { operationId: string; responses: Record<string, Response> }>>(
    document.paths
  ).flatMap((item) => Object.values(item))
  t.equal(new Set(operations.map(({ operationId }) => operationId)).size, operations.length, 'operation ids are unique')
  for (const { operationId, responses } of operations) {
    for (const [status, { description, content }] of Object.entries(responses)) {
      t.not(description, 'Default Response', `${operationId} says what ${status} means`)
      const example = content?.['application/problem+json']?.example
      if (Number(status) >= 400) t.match(example, { status: Number(status), code: String }, 'issue 16')
    }
    if (operationId.endsWith('Task')) t.ok('414' in responses, `${operationId} documents an overlong parameter`)
  }

  t.same(await lint(answer.body), [])
  const { etag = '' } = answer.headers as Record<string, string>
  const again = await app.inject({ url: '/openapi.json', headers: { 'if-none-match': etag } })
  t.same([again.statusCode, again.headers.etag, again.body], [304, etag, ''], 'RFC 9110, 13.1.2')
})

t.test('issue 18: the document of a resource with every kind of member lints clean', async (t) => {
  const app = await buildAlone(t, {}, async (app) => {
    await app.register(
      async (api) => {
        await autohooks(api as App)
        await api.register(samples, { prefix: '/samples' })
      },
      { prefix: '/api' }
    )
  })
  t.same(await lint((await app.inject('/openapi.json')).body), [])
})

t.test('issue 18: two resources whose schemas have one name end the start', async (t) => {
  const table = ownedTable('others', { done: boolean('done').notNull() })
  const others = resource(table, { name: 'newTask', members: { done: Type.Boolean() } })
  const config = await testConfig({ DATABASE_URL: 'postgres://127.0.0.1:1/none' })
  const app = Fastify(serverOptions(config))
  t.teardown(() => app.close())
  await app.register(appPlugin, { config, ...projectOf({ table }) })
  await app.register(
    async (api) => {
      await autohooks(api as App)
      await api.register(others, { prefix: '/others' })
    },
    { prefix: '/api' }
  )
  await t.rejects(async () => app.ready(), /Two different schemas have the title NewTask/)
})

t.test('the documentation page is there, unless it is turned off', async (t) => {
  const on = await buildAlone(t)
  t.equal((await on.inject('/')).headers.location, '/docs')
  const page = await on.inject('/docs')
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], 'text/html')
  const policy = String(page.headers['content-security-policy']).split(';')
  for (const part of ["default-src 'self'", "script-src 'self'", "object-src 'none'", "frame-ancestors 'none'"]) {
    t.ok(policy.includes(part), part)
  }
  // It would break a page that is served over plain HTTP, as `npm start` does.
  t.notMatch(policy, 'upgrade-insecure-requests')
  t.equal(page.headers['x-frame-options'], 'DENY')
  t.equal(page.headers['referrer-policy'], 'no-referrer')
  t.notOk((await on.inject('/api/session')).headers['content-security-policy'], 'on the page only')
  await on.close()

  const off = await buildAlone(t, { DOCS: 'off' })
  for (const url of ['/docs', '/docs/', '/docs/json', '/docs/static/index.html']) {
    t.equal((await off.inject(url)).statusCode, 404, url)
  }
  t.equal((await off.inject('/')).headers.location, '/openapi.json')
  t.equal((await off.inject('/openapi.json')).statusCode, 200)
})

t.test('the examples of the document are good requests', async (t) => {
  const app = await build(t)
  const { paths, components } = (await app.inject('/openapi.json')).json()
  const { schema, example: payload } = paths['/api/tasks'].post.requestBody.content['application/json']
  const { properties } = components.schemas[schema.$ref.split('/').at(-1)]
  // An example of an id would soon be too old.
  t.same(['id', ...Object.keys(payload)], Object.keys(properties))
  const answer = await app.inject({ method: 'POST', url: '/api/tasks', headers: asUser(newUser()), payload })
  t.equal(answer.statusCode, 201, answer.body)
})
