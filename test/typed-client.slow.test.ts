import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { build, newUser, tokenFor } from './support/app.ts'
import { compile } from './support/compile.ts'
import { listen } from './support/http.ts'

const FOLDER = resolve('dist/test/typed-client')

/** The command and the program of the section on the typed client in docs/api.md. */
function documented() {
  const [, section = ''] = /^## A typed client\n([\s\S]*?)\n## /m.exec(readFileSync('docs/api.md', 'utf8')) ?? []
  const block = (language: string) =>
    new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(section)?.[1] ?? ''
  return { command: block('sh'), program: block('ts') }
}

t.test('the client of docs/api.md compiles, and runs the contract against the service', async (t) => {
  const app = await build(t)
  const url = `http://127.0.0.1:${await listen(app)}`
  const { command, program } = documented()
  const live = (text: string) => text.replace('http://127.0.0.1:3000', url)

  mkdirSync(FOLDER, { recursive: true })
  await promisify(execFile)('bash', ['-c', live(command)], { cwd: FOLDER })
  copyFileSync('test/typed-client/contract.ts', `${FOLDER}/contract.ts`)
  const sub = newUser()
  writeFileSync(`${FOLDER}/documented.ts`, `const token: string = '${tokenFor(sub)}'\n${live(program)}`)
  // As strictly as the service is.
  const options = { rootDir: '.', outDir: '.', sourceMap: false, inlineSources: false }
  const faults = compile(FOLDER, ['contract.ts', 'documented.ts'], options, 'tsconfig.json')
  t.equal(faults, '')
  if (faults !== '') return

  const load = (name: string) => import(pathToFileURL(`${FOLDER}/${name}.js`).href)
  const { contract } = await load('contract')
  await contract(url, tokenFor(sub), sub)

  const lines = t.capture(console, 'log')
  await load('documented')
  t.same(
    lines().map(({ args }) => args),
    [
      ['Two', null],
      ['One', '2030-01-31T09:00:00+00:00']
    ]
  )
})
