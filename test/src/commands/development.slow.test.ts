import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { folder, start } from '../../support/program.ts'

const MAIN = 'src/commands/main.js'

/** A folder with a package that prints how it was called, and waits if it is asked to. */
function withProgram(t: Test, name: string, file: string): string {
  const cwd = folder(t)
  const at = join(cwd, 'node_modules', name)
  mkdirSync(at, { recursive: true })
  writeFileSync(join(at, 'index.js'), '')
  const text = `console.log('called with', process.argv.slice(2).join(' '))
    process.once('SIGTERM', () => { console.log('ended'); process.exit(7) })
    if (process.env.WAITS) setInterval(() => {}, 1000)`
  writeFileSync(join(at, file), text)
  return cwd
}

t.test('a command whose program is not installed says how to install it (issue 21)', async (t) => {
  for (const [name, needed] of [
    ['dev', 'fastify-cli'],
    ['studio', 'drizzle-kit']
  ] as const) {
    const { code, output } = await start(t, MAIN, folder(t), {}, [name]).ended
    t.equal(code, 1)
    t.match(output, `This needs ${needed}: npm install --save-dev ${needed}\n`)
  }
})

t.test('rowkeeper dev serves the sources at HOST and PORT, and ends with its program (issue 21)', async (t) => {
  const cwd = withProgram(t, 'fastify-cli', 'cli.js')
  const env = { HOST: '127.0.0.2', PORT: '4000', WAITS: '1' }
  const dev = start(t, MAIN, cwd, env, ['dev'])
  const [called] = await dev.printed(/called with .*/)
  t.match(called, /start --watch .* --address 127\.0\.0\.2 --port 4000 --options \S+fastify-cli\.js -- --sources$/)
  dev.child.kill('SIGTERM')
  t.match(await dev.ended, { code: 7, output: /ended\n$/ })

  mkdirSync(join(cwd, 'src'))
  writeFileSync(join(cwd, 'src/fastify-cli.ts'), '')
  writeFileSync(join(cwd, 'tsconfig.json'), '{}')
  symlinkSync(resolve('node_modules/tsx'), join(cwd, 'node_modules/tsx'))
  const ours = start(t, MAIN, cwd, {}, ['dev'])
  await ours.printed(/--options src\/fastify-cli\.ts -- --sources/)
  await ours.ended
})

t.test('rowkeeper studio opens the database, which nobody else may have open (issue 21)', async (t) => {
  const cwd = withProgram(t, 'drizzle-kit', 'bin.cjs')
  const studio = start(t, MAIN, cwd, { WAITS: '1' }, ['studio'])
  await studio.printed(/called with studio/)
  const other = await start(t, MAIN, cwd, {}, ['studio']).ended
  t.match(other, { code: 1, output: /is in use by process/ })
  studio.child.kill('SIGTERM')
  t.match(await studio.ended, { code: 7 })
})

const SCHEMA = `import { pgTable, text } from 'drizzle-orm/pg-core'
export const notes = pgTable('notes', { text: text('text').notNull() })
`

t.test("rowkeeper generate writes what changed, and leaves the service's own tables (issue 21)", async (t) => {
  const cwd = folder(t)
  symlinkSync(resolve('node_modules'), join(cwd, 'node_modules'))
  const generate = (...options: string[]) => start(t, MAIN, cwd, {}, ['generate', ...options]).ended
  t.match(await generate(), { code: 1, output: /^There is no schema\.ts here that exports the tables/ })
  writeFileSync(join(cwd, 'package.json'), '{"type":"module"}')
  writeFileSync(join(cwd, 'schema.ts'), SCHEMA)
  t.match(await generate('--name', 'notes'), { code: 0 })
  t.match(readFileSync(join(cwd, 'drizzle/0000_notes.sql'), 'utf8'), /CREATE TABLE "notes"/)
  t.match(await generate(), { code: 0, output: /No schema changes/ })

  // A copy of this repository, from when it had the tables of the service among its own.
  const snapshot = join(cwd, 'drizzle/meta/0000_snapshot.json')
  const known = JSON.parse(readFileSync(snapshot, 'utf8'))
  for (const name of ['feeds', 'others']) {
    known.tables[`public.${name}`] = { ...known.tables['public.notes'], name }
  }
  writeFileSync(snapshot, JSON.stringify(known))
  t.match(await generate('--name', 'less'), { code: 0, output: /0001_less\.sql loses data, .*: DROP TABLE "others"/ })
  t.match(readFileSync(join(cwd, 'drizzle/0001_less.sql'), 'utf8'), /^DROP TABLE "others" CASCADE;$/)

  writeFileSync(join(cwd, 'schema.ts'), 'export const (')
  t.match(await generate(), { code: 1, output: /drizzle-kit could not generate it/ })
})

t.test('rowkeeper build compiles what changed, and says why it cannot (issue 21)', async (t) => {
  const cwd = folder(t)
  symlinkSync(resolve('node_modules'), join(cwd, 'node_modules'))
  const build = () => start(t, MAIN, cwd, {}, ['build']).ended
  t.match(await build(), { code: 0, output: '' }, 'there is nothing to compile')
  writeFileSync(join(cwd, 'package.json'), '{"type":"module"}')
  const compilerOptions = { target: 'es2023', lib: ['es5'], rootDir: '.', types: [], skipLibCheck: true }
  writeFileSync(join(cwd, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['schema.ts'] }))
  writeFileSync(join(cwd, 'schema.ts'), 'export const one: number = 1')
  t.match(await build(), { code: 0 })
  t.match(readFileSync(join(cwd, 'dist/schema.js'), 'utf8'), 'one = 1')
  writeFileSync(join(cwd, 'schema.ts'), 'export const one: number = "text"')
  t.match(await build(), { code: 1, output: /error TS2322/ })
  t.match(await start(t, MAIN, cwd, {}, ['migrate']).ended, { code: 1, output: /The project does not compile\.\n$/ })
})

t.test('rowkeeper init and add write what they say (issue 21)', async (t) => {
  const cwd = folder(t)
  const made = await start(t, MAIN, cwd, {}, ['init', 'my-api', '--no-install']).ended
  t.match(made, { code: 0, output: /my-api is made[\s\S]*cd my-api\n {2}npm install\n {2}npm start/ })
  const added = await start(t, MAIN, join(cwd, 'my-api'), {}, ['add', 'cats']).ended
  t.match(added, { code: 0, output: /routes\/api\/cats\/index\.ts/ })
  t.match(readFileSync(join(cwd, 'my-api/schema.ts'), 'utf8'), /export const cats = ownedTable\('cats'/)
})
