import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import t, { type Test } from 'tap'

/** What lint says of each piece of code, were it in the file beside it; `*` there is a folder of its own. */
function lint(t: Test, pieces: readonly (readonly [file: string, code: string, ...unknown[]])[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'rowkeeper-lint-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  for (const name of ['biome.json', 'owned.grit']) cpSync(name, join(folder, name))
  const files = pieces.map(([file], i) => file.replace('*', `x${i}`))
  for (const [i, file] of files.entries()) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), pieces[i]?.[1] ?? '')
  }
  const biome = resolve('node_modules/.bin/biome')
  const options = ['lint', '--vcs-enabled=false', '--reporter=github', '--max-diagnostics=none']
  const { stdout } = spawnSync(biome, options, { cwd: folder, encoding: 'utf8' })
  return files.map((file) =>
    stdout
      .split('\n')
      .filter((line) => line.includes(`/${file},`))
      .join('\n')
  )
}

t.test('lint refuses a way around the owner-bound store', async (t) => {
  // Names that are used, so that nothing else is found fault with.
  const imports = (names: string, from: string) => `import { ${names} } from '${from}'\n\nconsole.log(${names})\n`

  const ROWS = /Rows are reached through app\.store and app\.owned/
  const SEND = /A store sends its statements through app\.owned/
  const OWNER = /Only the verifier makes an Owner/
  const RUN = /A statement runs for an owner/
  const around = [
    ['routes/api/*/index.ts', imports('feeds', '../../../src/db/system-tables.ts'), ROWS],
    ['plugins/*.ts', imports('OWNER_IS_NAMED', '../src/db/row-security.ts'), ROWS],
    ['src/http/*.ts', imports('openDatabase', '../db/open.ts'), ROWS],
    ['routes/api/*/index.ts', imports('openDatabase', '../../../src/db/open.ts'), ROWS],
    ['routes/api/*/index.ts', imports('drizzle', 'drizzle-orm/postgres-js'), ROWS],
    ['routes/api/*/index.ts', imports('postgres', 'postgres'), ROWS],
    ['src/resource/*.ts', imports('openDatabase', '../db/open.ts'), SEND],
    ['src/resource/routes/*.ts', imports('openDatabase', '../../db/open.ts'), SEND],
    ['src/resource/*.ts', imports('OWNER_IS_NAMED', '../db/row-security.ts'), SEND],
    ['src/resource/*.ts', imports('drizzle', 'drizzle-orm/postgres-js'), SEND],
    ['src/resource/*.ts', imports('postgres', 'postgres'), SEND],
    ['routes/api/*/index.ts', 'export const owner = (body: { owner: string }) => body.owner as Owner\n', OWNER],
    ['src/resource/*.ts', 'export const owner = (id: unknown) => id as unknown as Owner\n', OWNER],
    ['src/resource/*.ts', 'export const isOwner = (id: unknown): id is Owner => id !== undefined\n', OWNER],
    ['src/resource/*.ts', "export const all = (query: Query) => query.execute({ owner: 'bob' })\n", RUN],
    ['routes/api/*/index.ts', 'export const all = (app: App) => app.db.execute(sql`select 1`)\n', RUN]
  ] as const
  for (const [i, said] of lint(t, around).entries()) {
    const [file, code, fault] = around[i] ?? []
    t.match(said, fault, `${file}: ${code}`)
  }
  const right = [
    ['routes/api/*/index.ts', imports('tasks', '../../../src/db/schema.ts')],
    ['src/resource/*.ts', imports('feeds', '../db/system-tables.ts')],
    ['src/resource/*.ts', imports('owned', '../db/owned.ts')],
    ['src/db/*.ts', imports('postgres', 'postgres')],
    ['src/commands/*.ts', imports('openDatabase', '../db/open.ts')]
  ] as const
  t.same(
    lint(t, right),
    right.map(() => '')
  )
})
