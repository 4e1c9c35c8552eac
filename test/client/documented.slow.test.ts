import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import openapiTS, { astToString } from 'openapi-typescript'
import t from 'tap'
import { buildAlone } from '../support/app.ts'
import { compile, FOR_BROWSERS } from '../support/compile.ts'
import { startIssuer } from '../support/issuer.ts'
import { serve } from './kit.ts'

/** The programs of docs/client.md, one after the other. */
const programs = () =>
  [...readFileSync('docs/client.md', 'utf8').matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, program = '']) => program)

t.test('the programs of docs/client.md compile and run, with a real Better Auth server (issue 22)', async (t) => {
  // Below the project, where the packages are.
  mkdirSync('.data', { recursive: true })
  const folder = mkdtempSync(resolve('.data/client-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(resolve('.'), join(folder, 'node_modules/rowkeeper'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  const document = await (await buildAlone(t)).inject('/openapi.json')
  writeFileSync(join(folder, 'api.d.ts'), astToString(await openapiTS(document.body)))
  t.equal(programs().length, 8)
  const end =
    'export const stopAll = () => [stop, stopShowing, stopSync].forEach((one) => one())\nexport { first, client }\n'
  writeFileSync(join(folder, 'page.ts'), `${programs().join('\n')}\n${end}`)
  t.equal(compile(folder, ['page.ts'], { ...FOR_BROWSERS, skipLibCheck: true, types: ['node'] }), '')

  // Only now: compiling blocks this process for longer than a server keeps a connection open.
  const issuer = await startIssuer(t)
  const service = await serve(t, { BETTER_AUTH_URL: issuer.url })
  const { session } = await issuer.signUp()
  const file = join(folder, 'page.js')
  // Browsers have a cookie of the session. Here it is sent as the bearer plugin of Better Auth takes it.
  const program = readFileSync(file, 'utf8')
    .replaceAll('https://api.example.com', service.url)
    .replace('https://auth.example.com', issuer.url)
    .replace('[jwtClient()]', `[jwtClient()], fetchOptions: { auth: { type: 'Bearer', token: '${session}' } }`)
  writeFileSync(file, program)
  const lines = t.capture(console, 'log')
  const page = await import(pathToFileURL(file).href)
  const told = lines().map(({ args }) => args)
  page.stopAll()
  t.match(told[0], [400, 'validation_failed', 'must NOT have fewer than 1 characters', /./])
  t.match(told.slice(1, 5), [['Water the plants'], ['Buy milk'], [2, 'of', 2], ['Plan the journey', 'By train']])
  t.equal(page.first.title, 'Plan the journey')
  page.client.signOut()
  t.match(lines().at(-1)?.args, ['You are signed out'])
})
