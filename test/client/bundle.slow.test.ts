import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { brotliCompressSync } from 'node:zlib'
import { build } from 'esbuild'
import openapiTS, { astToString } from 'openapi-typescript'
import t from 'tap'
import { buildAlone } from '../support/app.ts'
import { compile, FOR_BROWSERS } from '../support/compile.ts'

/** The most bytes of the client with its dependencies, minified and compressed by Brotli. */
const MOST_BYTES = 10_000

/** The packages that the client may import. */
const PACKAGES = ['eventsource-parser', 'openapi-fetch']

async function bundle(entry: string, external: string[] = []) {
  const options = { bundle: true, minify: true, format: 'esm', target: 'es2022', write: false, metafile: true } as const
  const { outputFiles, metafile } = await build({ ...options, platform: 'browser', entryPoints: [entry], external })
  return { code: outputFiles[0]?.contents ?? new Uint8Array(), inputs: Object.keys(metafile.inputs) }
}

t.test('the client is small, and has nothing of the service in it (issue 22)', async (t) => {
  const { code, inputs } = await bundle('dist/client/index.js')
  const bytes = brotliCompressSync(code).length
  t.comment(`${bytes} bytes of ${code.length}`)
  t.ok(bytes <= MOST_BYTES, `${bytes} bytes`)
  const own = /^dist\/client\/[\w-]+\.js$/
  const foreign = inputs.filter((file) => !own.test(file))
  t.same([...new Set(foreign.map((file) => file.split('/').slice(0, 2).join('/')))].sort(), [
    ...PACKAGES.map((name) => `node_modules/${name}`)
  ])
  const query = await bundle('dist/client/query.js')
  t.ok(
    query.inputs.every((file) => own.test(file)),
    'the peer is for its types only'
  )
})

/** An application of a team, whose compiler is stricter than most. */
const APPLICATION = `
import { createClient, live, Problem, type Client } from 'rowkeeper/client'
import { itemOptions, listOptions, syncQueries } from 'rowkeeper/client/query'
import { QueryClient } from '@tanstack/query-core'
import type { paths } from './api.d.ts'

const client: Client<paths> = createClient<paths>({ url: '/', token: async () => null })
const tasks = client.resource('/api/tasks')
for await (const { title, dueAt } of tasks.list({ completed: false, sort: '-dueAt', limit: 10 })) {
  title.toUpperCase()
  // @ts-expect-error: it may be null
  dueAt.length
}
// @ts-expect-error: there is no such order
tasks.list({ sort: 'id' })
// @ts-expect-error: pages follow their links
tasks.list({ cursor: 'x' })
// @ts-expect-error: there is no such resource
client.resource('/api/nothings')
// @ts-expect-error: this is no resource
client.resource('/api/session')
const task = await tasks.create({ title: 'x', dueAt: null })
// @ts-expect-error: a title is required
tasks.create({})
await tasks.change(task.id, { completed: true }, { version: task.version, rebase: true })
// @ts-expect-error: completed is true or false
tasks.change(task.id, { completed: 'yes' })
const { created } = await tasks.batch({ create: [{ title: 'x' }], delete: [{ id: task.id, version: 1 }] })
created[0]?.title satisfies string | undefined
await tasks.remove(task.id, { signal: AbortSignal.timeout(1000) })
const list = live(tasks, { q: 'x' })
const rows: readonly { title: string }[] = list.getSnapshot().rows
// @ts-expect-error: there is no such filter
live(tasks, { owner: 'bob' })
const { data } = await client.api.GET('/api/session')
data?.user?.sub satisfies string | undefined
const queries = new QueryClient()
syncQueries(queries, [tasks])
const first = await queries.fetchQuery(listOptions(tasks, { limit: 5 }))
const one = await queries.fetchQuery(itemOptions(tasks, first[0]?.id ?? ''))
one.title satisfies string
client.changes().subscribe((change) => change.type === 'updated' && change.item?.version)
export const at = (error: unknown) => (error instanceof Problem ? error.at('/title') : rows.length)
`

t.test('the types of the client are whole, for a page without the types of Node (issue 22)', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'rowkeeper-client-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, 'node_modules/@tanstack'), { recursive: true })
  symlinkSync(resolve('.'), join(folder, 'node_modules/rowkeeper'))
  symlinkSync(resolve('node_modules/@tanstack/query-core'), join(folder, 'node_modules/@tanstack/query-core'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  const document = await (await buildAlone(t)).inject('/openapi.json')
  writeFileSync(join(folder, 'api.d.ts'), astToString(await openapiTS(document.body)))
  writeFileSync(join(folder, 'app.ts'), APPLICATION)
  const options = { ...FOR_BROWSERS, types: [], allowImportingTsExtensions: true, noEmit: true }
  t.equal(compile(folder, ['app.ts'], options), '')
  t.equal(compile(folder, [resolve('client/index.ts')], options), '', 'the sources need no types of Node either')
})
