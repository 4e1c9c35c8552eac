// `node dist/test/drills/mutations.js` applies each mutation of `mutation-list.ts` to a copy of the build, one at a
// time. It prints what was broken and which test noticed, and fails unless the test that the mutation names noticed.
// Words select the mutations whose description contains one of them: `… mutations.js wall events`. Some mutations need
// `TEST_DATABASE_URL`. `npm run check` verifies that the texts of the list still exist.
import { execFile, execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { promisify } from 'node:util'
import ts from 'typescript'
import { TEMPLATE } from '../support/template.ts'
import { type Mutation, mutate } from './mutation.ts'
import { MUTATIONS } from './mutation-list.ts'

const scratch = mkdtempSync(join(tmpdir(), 'rowkeeper-drill-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))
const compilerOptions = {
  module: ts.ModuleKind.ESNext,
  target: ts.ScriptTarget.ES2023,
  rewriteRelativeImportExtensions: true
}

/** A copy of the build in which the tests can run. */
function copy(name: string): string {
  const folder = join(scratch, name)
  mkdirSync(folder)
  for (const one of ['dist', 'docs', 'package.json']) cpSync(one, join(folder, one), { recursive: true })
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'))
  return folder
}

const run = promisify(execFile)

/** The tables of the embedded database, which is made before the tests, follow from these. */
const makesTables = (file: string) => file.endsWith('.sql') || /^src\/db\/(?:tables|constraints)\.ts$/.test(file)

/** Makes the embedded database of a copy anew. */
async function makeTables(folder: string, env: NodeJS.ProcessEnv): Promise<void> {
  rmSync(join(folder, relative('.', dirname(TEMPLATE))), { recursive: true })
  await run(process.execPath, ['dist/test/setup.js'], { cwd: folder, env })
}

/** The titles of the tests that fail with the mutation; undefined when the source does not contain its text. */
async function failing(mutation: Mutation, folder: string): Promise<string[] | undefined> {
  const { file, test } = mutation
  const text = readFileSync(file, 'utf8')
  const broken = mutate(text, mutation)
  if (broken === text) return undefined
  const built = join(folder, 'dist', file.replace(/\.ts$/, '.js'))
  const sound = readFileSync(built)
  const code = file.endsWith('.ts') ? ts.transpileModule(broken, { compilerOptions }).outputText : broken
  writeFileSync(built, code)
  // As in .taprc: a file that runs by itself would fail after 30 seconds, whatever it tests. A test that waits for what
  // a mutation prevents takes as long as it may.
  const env = { ...process.env, NODE_ENV: 'test', TAP_TIMEOUT: process.env.TAP_TIMEOUT ?? '600' }
  try {
    // The mutated code must load, because every test would notice code that does not.
    if (makesTables(file)) await makeTables(folder, env)
    else await run(process.execPath, ['--input-type=module', '-e', `await import(${JSON.stringify(built)})`], { env })
    const { stdout } = await run(process.execPath, [`dist/test/${test}.js`], {
      cwd: folder,
      env,
      maxBuffer: 2 ** 28
    }).catch((error: { stdout: string }) => error)
    return [...stdout.matchAll(/^(?: {4})?not ok \d+ - (.*?)(?: # .*)?$/gm)].map(([, title = '']) => title)
  } finally {
    writeFileSync(built, sound)
    if (makesTables(file)) await makeTables(folder, env)
  }
}

const JOBS = 2
const words = process.argv.slice(2)
const chosen = MUTATIONS.filter(
  ({ what, server }) =>
    (words.length === 0 || words.some((word) => what.includes(word))) &&
    (server === undefined || process.env.TEST_DATABASE_URL !== undefined)
)
const left = [...chosen]
let missed = 0
execFileSync(process.execPath, ['dist/test/setup.js'], { env: { ...process.env, NODE_ENV: 'test' } })
await Promise.all(
  Array.from({ length: JOBS }, async (_, job) => {
    const folder = copy(String(job))
    for (let mutation = left.shift(); mutation !== undefined; mutation = left.shift()) {
      const { what, test, title } = mutation
      const titles = await failing(mutation, folder)
      const caught = titles?.find((one) => one.includes(title))
      if (caught === undefined) missed++
      const found =
        titles === undefined
          ? 'the source does not contain its text'
          : `NOT by "${title}", but by ${titles.join(', ') || 'nothing'}`
      console.log(`${what}: ${caught === undefined ? found : `caught by "${caught}" (test/${test}.ts)`}`)
    }
  })
)
console.log(`${chosen.length - missed} of ${chosen.length} mutations are caught.`)
process.exitCode = missed === 0 && chosen.length > 0 ? 0 : 1
