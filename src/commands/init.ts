import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ConfigError } from '../config/error.ts'
import { command } from './command.ts'

const ABOUT = `Makes a new project in FOLDER, whose name becomes that of its package, and installs what it needs.

  --javascript       without TypeScript
  --no-install       leaves npm install to you
  --rowkeeper SPEC   the version of rowkeeper, or the path of its tarball`

export interface InitOptions {
  /** Whether the project is in plain JavaScript, which runs without a build. */
  javascript?: boolean | undefined
  /** Whether `npm install` runs in the new folder. */
  install?: boolean | undefined
  /** What npm installs as rowkeeper: a version (by default one compatible with this), or the path of a tarball. */
  rowkeeper?: string | undefined
}

const TEMPLATES = 'templates'

/** Returns a path in the package. Its sources are in its folder, and its build is in `dist/` there. */
function inPackage(...path: string[]): string {
  const folders = ['../..', '../../..'].map((up) => fileURLToPath(new URL(up, import.meta.url)))
  return join(String(folders.find((folder) => existsSync(join(folder, TEMPLATES)))), ...path)
}

/** The template of `package.json`. `{version}` in it stands for the version that this package uses itself. */
const MANIFEST = 'package.json'

const COMMAND = 'node_modules/.bin/rowkeeper'

/**
 * The files of this repository that a project has too, and what differs there. The build of a project is a project in
 * plain JavaScript. Its image has the build in the place of the sources.
 */
const SHARED: Record<string, [RegExp, string][]> = {
  '.env.example': [
    [/ See docs\//, '\n# See node_modules/rowkeeper/docs/'],
    [/^# TASKS_.*\n/m, '']
  ],
  Dockerfile: [
    [/(?:^COPY --from=build .*\n)+/m, 'COPY --from=build /app/dist ./\n'],
    [/^CMD .*/m, `CMD ["node", "${COMMAND}", "start"]`]
  ],
  'compose.yaml': [[/\[node, .*migrate.*\]/, `[node, ${COMMAND}, migrate]`]]
}

/** What a project in plain JavaScript does not have. */
const TYPESCRIPT_FILE = 'tsconfig.json'
const TYPESCRIPT_TOOLS = ['@types/node', 'tsx', 'typescript']

/** The name of a package, as npm takes it. */
const NAME = /^[a-z0-9][a-z0-9._-]{0,213}$/

/** npm does not install a package in a package of the same name. */
const isTaken = (name: string) => ['rowkeeper', 'node_modules', 'favicon.ico'].includes(name)

/** Why no project can be made in a folder; undefined if it can. */
function faultOf(root: string, name: string): string | undefined {
  if (!NAME.test(name) || isTaken(name)) {
    return `"${name}" cannot be the name of your package: use small letters, digits and hyphens, such as my-api.`
  }
  if (!existsSync(root)) return undefined
  if (!statSync(root).isDirectory()) return `${root} is a file: choose the name of a new folder.`
  // A repository that was just cloned may be empty but for this.
  const [found] = readdirSync(root).filter((one) => one !== '.git')
  return found === undefined ? undefined : `${root} is not empty, it has ${found}: choose the name of a new folder.`
}

/** The files of the template by their paths. A name may begin with `_`, because npm packs no `.gitignore`, for one. */
function templateFiles(): Map<string, string> {
  const root = inPackage(TEMPLATES, 'project')
  const paths = readdirSync(root, { recursive: true }).map(String)
  const files = paths.filter((path) => statSync(join(root, path)).isFile()).sort()
  return new Map(files.map((path) => [path.replace(/^_/, ''), readFileSync(join(root, path), 'utf8')]))
}

/** A file of this repository, changed. */
function sharedFile(file: string, changes: [RegExp, string][]): string {
  return changes.reduce((text, [from, to]) => text.replace(from, to), readFileSync(inPackage(file), 'utf8'))
}

/** The `package.json` of a project, with the versions that this package uses itself. */
function manifest(template: string, name: string, { javascript, rowkeeper }: InitOptions): string {
  const own = JSON.parse(readFileSync(inPackage(MANIFEST), 'utf8'))
  const project = JSON.parse(template)
  const spec = rowkeeper ?? `^${own.version}`
  const versions = {
    ...own.devDependencies,
    ...own.engines,
    // The path of a tarball is relative to the working directory.
    rowkeeper: existsSync(spec) ? resolve(spec) : spec
  }
  for (const part of ['engines', 'dependencies', 'devDependencies']) {
    for (const one of Object.keys(project[part])) project[part][one] = versions[one]
  }
  if (javascript) {
    for (const tool of TYPESCRIPT_TOOLS) delete project.devDependencies[tool]
    project.scripts.test = 'node --test'
  }
  return `${JSON.stringify({ ...project, name }, null, 2)}\n`
}

/** The same project in plain JavaScript: the template has no syntax of TypeScript. */
function toJavaScript(files: Map<string, string>): Map<string, string> {
  const plain = (text: string) => text.replaceAll(/\.ts\b/g, '.js')
  const made = new Map([...files].map(([path, text]) => [plain(path), plain(text)]))
  made.delete(TYPESCRIPT_FILE)
  made.set('.dockerignore', String(made.get('.dockerignore')).replace(`!${TYPESCRIPT_FILE}\n`, ''))
  const dockerfile = String(made.get('Dockerfile'))
    .replace(/^FROM .* AS build\n[\s\S]*?(?=^FROM )/m, '')
    .replace('COPY --from=build /app/dist ./', 'COPY . .')
  return made.set('Dockerfile', dockerfile)
}

/** The files of a project by their paths. */
function filesOf(name: string, options: InitOptions): Map<string, string> {
  const files = templateFiles()
  files.set(MANIFEST, manifest(String(files.get(MANIFEST)), name, options))
  for (const [file, changes] of Object.entries(SHARED)) files.set(file, sharedFile(file, changes))
  for (const [path, text] of files) files.set(path, text.replaceAll('{name}', name))
  return options.javascript ? toJavaScript(files) : files
}

/**
 * Makes a project: the repository of a team, which holds its declarations and uses this package.
 *
 * @param folder a new folder, or an empty one. Its name becomes that of the package
 * @returns the lines to print
 * @throws {ConfigError} when there is something in the folder, or its name is none of a package
 * @throws when `npm install` fails
 */
export async function init(folder: string, options: InitOptions = {}): Promise<string[]> {
  const root = resolve(folder)
  const name = basename(root)
  const fault = faultOf(root, name)
  if (fault !== undefined) throw new ConfigError([fault])

  for (const [path, text] of filesOf(name, options)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  const { install = true } = options
  // npm is a script of the shell on Windows.
  if (install && spawnSync('npm install', { cwd: root, shell: true, stdio: 'inherit' }).status !== 0) {
    throw new Error(`npm install failed: ${name} is made, so run it there again.`)
  }
  const from = relative(process.cwd(), root)
  const commands = [
    ...(from === '' ? [] : [`cd ${from}`]),
    ...(install ? [] : ['npm install']),
    'npm start                          serves /api/notes, with an embedded PostgreSQL',
    'npm test                           proves that nobody reaches the notes of somebody else, and the rest',
    'npx rowkeeper add bank-accounts    adds a resource'
  ]
  return ['', `${name} is made: its README.md says more.`, '', ...commands.map((command) => `  ${command}`), '']
}

/** `rowkeeper init my-api`: makes a new project. */
export default command({
  synopsis: 'FOLDER [--javascript] [--no-install] [--rowkeeper SPEC]',
  about: ABOUT,
  options: { javascript: 'boolean', 'no-install': 'boolean', rowkeeper: 'string' },
  takes: 1,
  async run({ javascript, 'no-install': bare, rowkeeper }, folder) {
    for (const line of await init(folder, { javascript, install: !bare, rowkeeper })) console.log(line)
  }
})
