import { Type } from '@sinclair/typebox'
import { text } from 'drizzle-orm/pg-core'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { welcome } from '../../../src/commands/welcome.ts'
import { ownedTable } from '../../../src/db/tables.ts'
import { exampleBody, exampleOf } from '../../../src/resource/example.ts'
import { resource } from '../../../src/resource/resource.ts'
import { testConfig } from '../../support/app.ts'
import { clipsResource, foldersResource } from '../../support/papers.ts'

const config = await testConfig({ DATABASE_URL: 'postgres://127.0.0.1:1/none' })

/** What is printed for an application with these resources. */
const printed = (...resources: (typeof foldersResource | typeof clipsResource)[]) => {
  const all = resources.map(({ declaration }) => ({ declaration, path: `/api/${declaration.words.collection}` }))
  const app = { config, resources: new Map(all.map((one) => [one.path, one])) }
  return welcome(app as unknown as FastifyInstance, 'http://127.0.0.1:3000')
}

t.test('the request to try creates an item of the first resource that refers to no other (issue 21)', async (t) => {
  const both = await printed(clipsResource, foldersResource)
  t.match(both, /The API {9}http:\/\/127\.0\.0\.1:3000\/api\/clips\n {18}http:\/\/127\.0\.0\.1:3000\/api\/folders\n/)
  t.match(both, /curl -H 'Authorization: Bearer \S+' \\\n {4}--json '\{"name":"Garden"\}' \\\n {4}\S+\/api\/folders\n/)
  t.match(await printed(clipsResource), /curl -H 'Authorization: Bearer \S+' \\\n {4}\S+\/api\/clips\n/)
  t.notMatch(await printed(), 'curl')
})

t.test('an example fits its schema, or there is none (issue 21)', async (t) => {
  t.same(exampleOf({ type: 'array', items: { type: 'integer', minimum: 3 }, maxItems: 2 }, 'x'), [3])
  t.same(exampleOf({}, 'x'), ['x'])
  const table = ownedTable('plates', { number: text('number').notNull() })
  const plates = resource(table, {
    name: 'plate',
    members: { number: Type.String({ maxLength: 3, pattern: '^[A-Z]{3}$' }) }
  })
  t.equal(exampleBody(plates.declaration), undefined)
})
