import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { Script } from 'node:vm'
import { getTableName } from 'drizzle-orm'
import { ConfigError } from '../config/error.ts'
import { systemTables } from '../db/system-tables.ts'
import { schemaIn } from '../project.ts'
import { nameFaults } from '../resource/declaration.ts'
import { pluralOf } from '../resource/words.ts'
import { command } from './command.ts'

const ABOUT = `Adds a resource to the project in the working directory: its table, its declaration and its test.
They are ready to edit. NAME is its folder under /api, in the plural, such as notes or bank-accounts.`

/** The names of a resource and of what belongs to it. */
interface Names {
  /** `bank-accounts`, its folder under `/api` */
  folder: string
  /** `bank_accounts` */
  table: string
  /** `bankAccounts`, the constant of the table */
  constant: string
  /** `bankAccount`, what one item is called */
  item: string
}

/** Where a project has its parts, and what its files import. */
interface Layout {
  /** The folder of the tests. */
  tests: string
  /** The command that generates migrations. */
  generate: string
  /** What the file of the tables imports, by the modules. */
  tableImports: Record<string, string[]>
  /** What a declaration imports. `schema` is the path of the file of the tables. */
  routeImports: (names: Names, schema: string) => string
  test: (names: Names, ending: string) => string
}

const PROJECT: Layout = {
  tests: 'test',
  generate: 'npx rowkeeper generate --name',
  tableImports: { 'rowkeeper/resource': ['ownedTable', 'text'] },
  routeImports: ({ constant }, schema) => `import { contains, resource, Type } from 'rowkeeper/resource'
import { ${constant} } from '../../../${schema}'
`,
  test: ({ constant, folder }, ending) => `import { test } from 'node:test'
import { contractSuite } from 'rowkeeper/test'
import ${constant} from '../routes/api/${folder}/index${ending}'

contractSuite(test, ${constant})
`
}

/** This repository, whose files cannot import what is built from them. */
const REPOSITORY: Layout = {
  tests: 'test/routes',
  generate: 'npm run db:generate -- --name',
  tableImports: { 'drizzle-orm/pg-core': ['text'], './tables.ts': ['ownedTable'] },
  routeImports: ({ constant }, schema) => `import { Type } from '@sinclair/typebox'
import { ${constant} } from '../../../${schema}'
import { contains, resource } from '../../../src/resource/resource.ts'
`,
  test: ({ constant, folder }, ending) => `import t from 'tap'
import ${constant} from '../../routes/api/${folder}/index${ending}'
import { contractSuite } from '../contract/contract.ts'

contractSuite(t, ${constant})
`
}

const tableOf = ({ constant, table }: Names) => `
export const ${constant} = ownedTable('${table}', {
  name: text('name').notNull()
})
`

const declarationOf = ({ constant, table, item }: Names) => `
/** The caller's ${pluralOf(table)}, and nobody else's: what clients see, and what they may ask for. */
export default resource(${constant}, {
  name: '${item}',
  members: {
    name: Type.String({ minLength: 1, maxLength: 200, examples: ['The first one'] })
  },
  filters: { q: contains('name') },
  sorts: ['name']
})
`

/** The folders under `/api` that every application has. */
export const RESERVED = ['batch', 'events', 'session']

const FOLDER = /^[a-z][a-z0-9]*(?:-[a-z][a-z0-9]*)*$/
const FOLDER_LENGTH = 40

/** The endings of plurals, each with that of the singular. The first that a word has is taken. */
const ENDINGS: [RegExp, string][] = [
  [/([Pp])eople$/, '$1erson'],
  [/(hild)ren$/, '$1'],
  [/(series|species|news|ss|us|is)$/, '$1'],
  [/((?:mov|cook)ie)s$/, '$1'],
  [/ies$/, 'y'],
  [/(ss|x|ch|sh|zz|[^aou]us)es$/, '$1'],
  [/s$/, '']
]

/** What one of many is called, by the simplest rules of English: `bankAccount` of `bankAccounts`. */
export function singularOf(plural: string): string {
  const [ending, singular] = ENDINGS.find(([ending]) => ending.test(plural)) ?? [/$/, '']
  return plural.replace(ending, singular)
}

function namesOf(folder: string): Names {
  const constant = folder.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase())
  return { folder, table: folder.replaceAll('-', '_'), constant, item: singularOf(constant) }
}

/** The names that the `import` lines of a file bring into it. */
const importedNames = (text: string) =>
  [...text.matchAll(/^import\s+([^'"]*?)\s+from\s/gm)].flatMap(([, names]) => String(names).split(/\W+/))

/** These, and the constants that it exports. */
const namesIn = (text: string) => [
  ...importedNames(text),
  ...[...text.matchAll(/^export const (\w+)/gm)].map(([, name]) => name)
]

/** Whether JavaScript lets a constant have the name: no `delete`, for one. */
function isConstant(name: string): boolean {
  try {
    new Script(`'use strict'; async () => { const ${name} = 0 }`)
    return true
  } catch {
    return false
  }
}

/** What is wrong with a name, whatever the project has. */
function* wordFaults({ folder, table, constant, item }: Names): Generator<string> {
  if (RESERVED.includes(folder)) yield `/api/${folder} is a route that every application has: choose another name.`
  if (systemTables.some((one) => getTableName(one) === table)) {
    yield `The service has a table ${table} of its own: choose another name.`
  }
  if (!isConstant(constant)) yield `"${constant}" is a word of JavaScript: choose another name.`
  yield* nameFaults(item, table)
}

/** The text of a file with the imports that it lacks. */
function withImports(text: string, imports: Layout['tableImports']): string {
  let result = text
  for (const [module, names] of Object.entries(imports)) {
    const missing = names.filter((name) => !importedNames(text).includes(name)).join(', ')
    if (missing === '') continue
    const found = new RegExp(`^import \\{\\s*([^}]*?),?\\s*\\} from ['"]${module}['"]`, 'm')
    result = found.test(result)
      ? result.replace(found, (line, before) => line.replace(before, `${before}, ${missing}`))
      : `import { ${missing} } from '${module}'\n${result}`
  }
  return result
}

/** Whether the project is this repository. */
function isRepository(root: string): boolean {
  const manifest = join(root, 'package.json')
  return existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).name === 'rowkeeper'
}

/**
 * Adds a resource to a project: a table, a declaration and a test.
 *
 * @param name its folder under `/api`: `bank-accounts`
 * @param projectFolder where the project has its `package.json`
 * @returns the lines to print
 * @throws {ConfigError} for a folder that is no project, and for a name that is taken, reserved or malformed
 */
export async function add(name: string, projectFolder: string): Promise<string[]> {
  const found = schemaIn(projectFolder, ['.ts', '.js'])
  if (found === undefined) {
    throw new ConfigError(['There is no schema.ts or schema.js here: run this where the package.json of a project is.'])
  }
  if (!FOLDER.test(name) || name.length > FOLDER_LENGTH) {
    const rule = `up to ${FOLDER_LENGTH} small letters, digits and hyphens, such as bank-accounts`
    throw new ConfigError([`"${name}" cannot be the name: use ${rule}.`])
  }
  const schema = relative(projectFolder, found)
  const names = namesOf(name)
  const layout = isRepository(projectFolder) ? REPOSITORY : PROJECT
  const ending = schema.slice(-3)
  const route = `routes/api/${name}/index${ending}`
  const test = `${layout.tests}/${name}.test${ending}`
  const tables = withImports(readFileSync(join(projectFolder, schema), 'utf8'), layout.tableImports)
  const texts = {
    [schema]: tables + tableOf(names),
    [route]: layout.routeImports(names, schema) + declarationOf(names),
    [test]: layout.test(names, ending)
  }
  const faults = [...wordFaults(names)]
  for (const file of [route, test]) {
    if (existsSync(join(projectFolder, file))) faults.push(`${file} is there already: choose another name.`)
  }
  for (const [file, text] of Object.entries(texts)) {
    if (namesIn(text).filter((one) => one === names.constant).length > 1) {
      faults.push(`${file} would have two of ${names.constant}: choose another name.`)
    }
  }
  if (faults.length > 0) throw new ConfigError(faults)

  for (const [file, text] of Object.entries(texts)) {
    mkdirSync(dirname(join(projectFolder, file)), { recursive: true })
    writeFileSync(join(projectFolder, file), text)
  }
  return report(names, [schema, route, test], layout)
}

function report({ item, table, constant }: Names, files: string[], { generate }: Layout): string[] {
  const width = Math.max(...files.map(({ length }) => length)) + 3
  const contents = [`the table ${constant}`, `the declaration, in which one of them is called ${item}`, 'the test']
  return [
    '',
    `The ${pluralOf(table)} are in`,
    '',
    ...files.map((file, i) => `  ${file.padEnd(width)} ${contents[i]}`),
    '',
    'Edit the first two. Then make the migration, read it, and test:',
    '',
    `  ${generate} ${table}`,
    '  npm test',
    ''
  ]
}

/** `rowkeeper add bank-accounts`: adds a resource to the project. */
export default command({
  synopsis: 'NAME',
  about: ABOUT,
  takes: 1,
  async run(_options, name) {
    for (const line of await add(name, process.cwd())) console.log(line)
  }
})
