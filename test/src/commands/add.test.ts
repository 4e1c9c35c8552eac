import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { add, RESERVED, singularOf } from '../../../src/commands/add.ts'
import { init } from '../../../src/commands/init.ts'
import { ConfigError } from '../../../src/config/error.ts'
import type { Resource } from '../../../src/resource/resource.ts'
import { folder } from '../../support/program.ts'
import { installPackage } from '../../support/project.ts'

async function project(t: Test, javascript = false) {
  const root = join(folder(t), 'my-api')
  await init(root, { javascript, install: false })
  return { root, read: (file: string) => readFileSync(join(root, file), 'utf8') }
}

t.test('add makes a table, a declaration and a test (issue 21)', async (t) => {
  const { root, read } = await project(t)
  const before = read('schema.ts')
  const lines = await add('bank-accounts', root)
  t.equal(
    read('schema.ts'),
    `${before}
export const bankAccounts = ownedTable('bank_accounts', {
  name: text('name').notNull()
})
`
  )
  t.match(
    read('routes/api/bank-accounts/index.ts'),
    `import { contains, resource, Type } from 'rowkeeper/resource'
import { bankAccounts } from '../../../schema.ts'

/** The caller's bank accounts, and nobody else's: what clients see, and what they may ask for. */
export default resource(bankAccounts, {
  name: 'bankAccount',
`
  )
  t.equal(
    read('test/bank-accounts.test.ts'),
    `import { test } from 'node:test'
import { contractSuite } from 'rowkeeper/test'
import bankAccounts from '../routes/api/bank-accounts/index.ts'

contractSuite(test, bankAccounts)
`
  )
  const told = lines.join('\n')
  t.match(told, /^ {2}routes\/api\/bank-accounts\/index\.ts .* is called bankAccount$/m)
  t.match(told, /^ {2}npx rowkeeper generate --name bank_accounts$/m)
})

t.test('what add makes in plain JavaScript is a resource', async (t) => {
  const { root } = await project(t, true)
  const names = ['bank-accounts', 'people', 'todos']
  for (const name of names) await add(name, root)
  installPackage(root)
  for (const name of names) {
    const file = join(root, `routes/api/${name}/index.js`)
    const made: { default: Resource } = await import(pathToFileURL(file).href)
    t.equal(made.default.declaration.words.collection, name)
    t.ok(existsSync(join(root, `test/${name}.test.js`)))
  }
})

t.test('add works in this repository, and where the tables are in src/db', async (t) => {
  const repository = folder(t)
  mkdirSync(join(repository, 'src/db'), { recursive: true })
  for (const file of ['package.json', 'src/db/schema.ts']) cpSync(file, join(repository, file))
  const lines = await add('notes', repository)
  const read = (file: string) => readFileSync(join(repository, file), 'utf8')
  t.ok(read('src/db/schema.ts').startsWith(readFileSync('src/db/schema.ts', 'utf8')))
  t.match(read('routes/api/notes/index.ts'), "import { notes } from '../../../src/db/schema.ts'\n")
  t.match(read('routes/api/notes/index.ts'), "import { contains, resource } from '../../../src/resource/resource.ts'\n")
  t.match(read('test/routes/notes.test.ts'), "import { contractSuite } from '../contract/contract.ts'\n")
  t.match(lines.join('\n'), /^ {2}npm run db:generate -- --name notes$/m)

  const { root } = await project(t)
  mkdirSync(join(root, 'src/db'), { recursive: true })
  renameSync(join(root, 'schema.ts'), join(root, 'src/db/schema.ts'))
  await add('tasks', root)
  const route = readFileSync(join(root, 'routes/api/tasks/index.ts'), 'utf8')
  t.match(route, "import { tasks } from '../../../src/db/schema.ts'\n")
})

t.test('add imports what the tables need, whatever is imported', async (t) => {
  const root = folder(t)
  for (const [before, after] of [
    ['', "import { ownedTable, text } from 'rowkeeper/resource'\n"],
    [
      "import { boolean } from 'rowkeeper/resource'\n",
      "import { boolean, ownedTable, text } from 'rowkeeper/resource'\n"
    ],
    [
      'import {\n  boolean,\n  text,\n} from "rowkeeper/resource"\n',
      'import {\n  boolean,\n  text, ownedTable,\n} from "rowkeeper/resource"\n'
    ],
    ["import { ownedTable, text } from './tables.js'\n", "import { ownedTable, text } from './tables.js'\n"]
  ]) {
    const one = join(root, String(readdirSync(root).length))
    mkdirSync(one)
    writeFileSync(join(one, 'schema.js'), String(before))
    await add('notes', one)
    const [imports] = readFileSync(join(one, 'schema.js'), 'utf8').split('\nexport')
    t.equal(imports, after)
  }
})

t.test('add refuses a name that is malformed, reserved or taken, and writes nothing then', async (t) => {
  const { root, read } = await project(t)
  const before = read('schema.ts')
  for (const [name, sentence] of [
    ['Notes', /^"Notes" cannot be the name: use up to 40 small letters, .*, such as bank-accounts\.$/],
    ['bank_accounts', /cannot be the name/],
    ['../notes', /cannot be the name/],
    ['2notes', /cannot be the name/],
    ['notes-', /cannot be the name/],
    ['', /cannot be the name/],
    ['n'.repeat(41), /cannot be the name/],
    ...RESERVED.map((name) => [name, /^\/api\/\w+ is a route that every application has/] as const),
    ['feeds', /^The service has a table feeds of its own: choose another name\.$/],
    ['idempotency-keys', /^The service has a table idempotency_keys of its own/],
    ['delete', /^"delete" is a word of JavaScript/],
    ['await', /^"await" is a word of JavaScript/],
    ['resources', /^The name "resource" must be another/],
    ['constructors', /^The name "constructor" must be another/],
    ['text', /^schema\.ts would have two of text/],
    ['contains', /^routes\/api\/contains\/index\.ts would have two of contains/],
    ['test', /^test\/test\.test\.ts would have two of test/],
    ['notes', /^routes\/api\/notes\/index\.ts is there already.*\ntest\/notes\.test\.ts is there.*\nschema\.ts would/]
  ] as const) {
    await t.rejects(add(name, root), { constructor: ConfigError, message: sentence }, name)
  }
  t.equal(read('schema.ts'), before)
  t.same(readdirSync(join(root, 'routes/api')), ['notes'])
  await t.rejects(add('notes', folder(t)), { message: /^There is no schema\.ts or schema\.js here: run this where/ })
})

t.test('the reserved names are the routes that every application has', async (t) => {
  const routes = readdirSync('routes/api', { withFileTypes: true }).filter((one) => one.isDirectory())
  t.same(
    routes.map(({ name }) => name).filter((name) => name !== 'tasks'),
    RESERVED
  )
})

t.test('one of many', async (t) => {
  for (const [plural, singular] of Object.entries({
    notes: 'note',
    bankAccounts: 'bankAccount',
    categories: 'category',
    movies: 'movie',
    boxes: 'box',
    classes: 'class',
    branches: 'branch',
    wishes: 'wish',
    statuses: 'status',
    houses: 'house',
    expenses: 'expense',
    causes: 'cause',
    salesPeople: 'salesPerson',
    children: 'child',
    news: 'news',
    status: 'status',
    access: 'access',
    series: 'series',
    equipment: 'equipment'
  })) {
    t.equal(singularOf(plural), singular)
  }
})
