import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { validate } from 'dockerfile-utils'
import { generateDrizzleJson, generateMigration } from 'drizzle-kit/api'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { type InitOptions, init } from '../../../src/commands/init.ts'
import { ConfigError } from '../../../src/config/error.ts'
import { folder } from '../../support/program.ts'
import { installPackage } from '../../support/project.ts'

const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), 'utf8'))

/** The files of a folder. */
const filesIn = (root: string) =>
  readdirSync(root, { recursive: true })
    .map(String)
    .filter((path) => statSync(join(root, path)).isFile())
    .sort()

/** Makes a project, and lets it import the package. */
async function make(t: Test, options: InitOptions = {}) {
  const root = join(folder(t), 'my-api')
  const lines = await init(root, { install: false, ...options })
  return { root, lines, read: (file: string) => readFileSync(join(root, file), 'utf8') }
}

t.test('init makes a project of a resource, its migration and its test (issue 21)', async (t) => {
  const { root, lines, read } = await make(t)
  t.same(filesIn(root), [
    '.dockerignore',
    '.env.example',
    '.github/workflows/ci.yml',
    '.gitignore',
    '.npmrc',
    'Dockerfile',
    'README.md',
    'compose.yaml',
    'drizzle/0000_notes.sql',
    'drizzle/meta/0000_snapshot.json',
    'drizzle/meta/_journal.json',
    'package.json',
    'routes/api/notes/index.ts',
    'schema.ts',
    'test/notes.test.ts',
    'tsconfig.json'
  ])
  for (const file of filesIn(root)) t.notMatch(read(file), /\{(?:name|version)\}/, file)
  t.match(read('README.md'), /^# my-api\n/)
  t.match(lines.join('\n'), `  cd ${relative('.', root)}\n  npm install\n  npm start `)
})

t.test('a project asks for the versions that the package uses itself', async (t) => {
  const own = json('package.json')
  const project = json((await make(t)).root, 'package.json')
  t.match(project, { name: 'my-api', private: true, type: 'module', engines: own.engines })
  t.same(project.dependencies, { rowkeeper: `^${own.version}` })
  for (const [name, version] of Object.entries(project.devDependencies)) {
    t.ok(version, name)
    t.equal(version, own.devDependencies[name], name)
  }
  t.same(Object.keys(json('templates/project/_package.json').devDependencies), Object.keys(project.devDependencies))

  const version = json((await make(t, { rowkeeper: '1.2.3' })).root, 'package.json')
  t.same(version.dependencies, { rowkeeper: '1.2.3' })
  const tarball = join(folder(t), 'rowkeeper.tgz')
  writeFileSync(tarball, '')
  const file = json((await make(t, { rowkeeper: relative('.', tarball) })).root, 'package.json')
  t.same(file.dependencies, { rowkeeper: tarball })
})

t.test('the compiler is as strict with a project as with this repository', async (t) => {
  const { compilerOptions } = json((await make(t)).root, 'tsconfig.json')
  // What this repository has because it is a package. Node.js would take the declarations of tests for tests.
  const packaging = { allowJs: true, declaration: true, inlineSources: true }
  t.same({ ...compilerOptions, ...packaging }, json('tsconfig.json').compilerOptions)
})

t.test('the image and the services of a project are those of this repository', async (t) => {
  const own = readFileSync('Dockerfile', 'utf8').split('\n')
  for (const javascript of [false, true]) {
    const { root, read } = await make(t, { javascript })
    const text = read('Dockerfile')
    t.same(validate(text), [])
    t.same(
      text.split('\n').filter((line) => !own.includes(line)),
      [
        ...(javascript ? [] : ['COPY --from=build /app/dist ./']),
        'CMD ["node", "node_modules/.bin/rowkeeper", "start"]'
      ]
    )
    t.equal(text.match(/^FROM /gm)?.length, javascript ? 2 : 3)
    const last = text.slice(text.lastIndexOf('\nFROM '))
    t.match(last, javascript ? '\nCOPY . .\n' : '\nCOPY --from=build /app/dist ./\n')
    t.notMatch(last, /^RUN /m)

    const allowed = read('.dockerignore').match(/(?<=^!).*/gm) ?? []
    t.same(
      allowed.filter((name) => !existsSync(join(root, name))),
      ['package-lock.json', 'src'],
      'npm install makes the first, and the team the second'
    )
    const compose = parse(read('compose.yaml'), { merge: true })
    const ours = parse(readFileSync('compose.yaml', 'utf8'), { merge: true })
    t.same(compose.services.migrate.command, ['node', 'node_modules/.bin/rowkeeper', 'migrate'])
    ours.services.migrate.command = compose.services.migrate.command
    t.same(compose, ours)
  }
})

t.test('.env.example is that of this repository, without the tasks', async (t) => {
  const variables = (text: string) => text.match(/^#? ?[A-Z_]+=.*$/gm)
  const { read } = await make(t)
  t.same(
    variables(read('.env.example')),
    variables(readFileSync('.env.example', 'utf8'))?.filter((line) => !line.startsWith('# TASKS_'))
  )
  t.match(read('.env.example'), /^# See node_modules\/rowkeeper\/docs\/configuration\.md\.$/m)
})

t.test('a project is tested on the oldest and the newest Node.js that this repository names', async (t) => {
  const { jobs } = parse((await make(t)).read('.github/workflows/ci.yml'))
  const [, least] = /(\d+)/.exec(json('package.json').engines.node) ?? []
  const [, newest] = /^ARG NODE=(\d+)$/m.exec(readFileSync('Dockerfile', 'utf8')) ?? []
  t.same(jobs.test.strategy.matrix.node, [Number(least), Number(newest)])
  t.equal(jobs.test.services.postgres.image, parse(readFileSync('compose.yaml', 'utf8')).services.postgres.image)
})

t.test(
  'a project in plain JavaScript is the same, without a compiler, and its schema fits its migration',
  async (t) => {
    const typed = filesIn((await make(t)).root)
    const { root, read } = await make(t, { javascript: true })
    t.same(
      filesIn(root),
      typed.filter((file) => file !== 'tsconfig.json').map((file) => file.replace(/\.ts$/, '.js'))
    )
    for (const file of filesIn(root)) t.notMatch(read(file), /\.ts\b|tsx|tsconfig|typescript/i, file)
    t.match(json(root, 'package.json').scripts, { test: 'node --test' })

    installPackage(root)
    const load = (file: string) => import(pathToFileURL(join(root, file)).href)
    t.match((await load('routes/api/notes/index.js')).default.declaration.words, { name: 'note', collection: 'notes' })

    const snapshot = json(root, 'drizzle/meta/0000_snapshot.json')
    const schema = generateDrizzleJson(await load('schema.js'))
    t.same(await generateMigration(snapshot, schema), [], 'drizzle-kit generate finds no changes')
    const statements = read('drizzle/0000_notes.sql').split('--> statement-breakpoint')
    t.same(
      statements.map((statement) => statement.trim()),
      (await generateMigration(generateDrizzleJson({}), schema)).map((statement) => statement.trim())
    )
  }
)

t.test('init refuses a folder that has something, and a name that is none of a package', async (t) => {
  const root = folder(t)
  const refused = async (name: string, sentence: RegExp) => {
    await t.rejects(init(join(root, name), { install: false }), { constructor: ConfigError, message: sentence })
  }
  for (const name of ['My API', 'Api', '.api', '-api', 'a'.repeat(215), 'rowkeeper', 'node_modules']) {
    await refused(name, /^".*" cannot be the name of your package: use small letters, .*, such as my-api\.$/)
  }
  mkdirSync(join(root, 'full'))
  writeFileSync(join(root, 'full', 'index.html'), '')
  await refused('full', /full is not empty, it has index\.html: choose the name of a new folder\.$/)
  t.same(readdirSync(join(root, 'full')), ['index.html'])
  await refused('full/index.html', /index\.html is a file: choose the name of a new folder\.$/)

  mkdirSync(join(root, 'cloned/.git'), { recursive: true })
  await init(join(root, 'cloned'), { install: false })
  t.ok(existsSync(join(root, 'cloned/schema.ts')))
})

t.test('init installs what the project needs', async (t) => {
  // The npm of these tests: it writes down where it runs and what for, and fails if it is told to.
  const bin = folder(t)
  const npm = '#!/bin/sh\necho "$PWD $*" > "$NPM_CALLED"\nexit $NPM_EXIT\n'
  writeFileSync(join(bin, 'npm'), npm, { mode: 0o755 })
  const { PATH } = process.env
  t.teardown(() => Object.assign(process.env, { PATH }))
  const called = join(bin, 'called')
  Object.assign(process.env, { PATH: `${bin}:${PATH}`, NPM_CALLED: called, NPM_EXIT: '0' })

  const { root, lines } = await make(t, { install: true })
  t.equal(readFileSync(called, 'utf8'), `${root} install\n`)
  t.notMatch(lines.join('\n'), /npm install/)

  process.env.NPM_EXIT = '1'
  await t.rejects(make(t, { install: true }), { message: 'npm install failed: my-api is made, so run it there again.' })
})

t.test('init in the working directory tells no cd', async (t) => {
  const root = join(folder(t), 'here')
  mkdirSync(root)
  const before = process.cwd()
  process.chdir(root)
  t.teardown(() => process.chdir(before))
  const lines = await init('.', { install: false })
  process.chdir(before)
  t.notMatch(lines.join('\n'), /\bcd\b/)
  t.equal(json(root, 'package.json').name, 'here')
})
