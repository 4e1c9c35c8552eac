import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { ownedTablesOf } from '../../src/db/owned-tables.ts'
import { ownedTable } from '../../src/db/tables.ts'
import { loadProject } from '../../src/project.ts'
import { folder } from '../support/program.ts'

t.test('a project is found by its layout: this repository, or the build or the sources here (issue 21)', async (t) => {
  const { schema, routes, migrations } = await loadProject()
  t.same(Object.keys(schema), ['tasks'])
  t.match([routes, migrations], [/dist\/routes$/, /dist\/drizzle$/])
  t.match((await loadProject()).info, { title: 'Rowkeeper', license: 'MIT' })

  const [cwd, own] = [folder(t), folder(t)]
  t.chdir(cwd)
  await t.rejects(loadProject(false, own), { message: /^There is no schema\.js here/ })
  const write = (file: string) => {
    mkdirSync(dirname(join(cwd, file)), { recursive: true })
    writeFileSync(join(cwd, file), `export const from = ${JSON.stringify(file)}`)
  }
  // Each one comes before those above it.
  for (const [file, sources, at] of [
    ['src/db/schema.js', false, ''],
    ['schema.js', false, ''],
    ['dist/src/db/schema.js', false, 'dist'],
    ['dist/schema.js', false, 'dist']
  ] as const) {
    write(file)
    for (const folder of ['', at]) {
      writeFileSync(join(cwd, folder, 'package.json'), '{"type":"module","name":"@team/my-api","version":"1.2.3"}')
    }
    t.same(await loadProject(sources, own), {
      schema: { from: file },
      routes: join(process.cwd(), at, 'routes'),
      migrations: join(process.cwd(), at, 'drizzle'),
      info: { title: 'My api', version: '1.2.3' }
    })
  }
  writeFileSync(join(cwd, 'package.json'), '{"type":"module"}')
  t.match(await loadProject(true, own), { info: { title: 'API', version: '0.0.0' } })
  t.match(await loadProject(true, own), { schema: { from: 'schema.js' }, routes: join(process.cwd(), 'routes') })
})

t.test("a table cannot have the name of one of the service's own (issue 21)", async (t) => {
  t.throws(() => ownedTablesOf({ feeds: ownedTable('feeds', {}) }), {
    message: `The table "feeds" is one of the service's own: rename yours.`
  })
})
