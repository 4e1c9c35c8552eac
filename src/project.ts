import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ConfigError } from './config/error.ts'

/** What a team declares, in this repository or in one that installs the package. */
export interface Project {
  /** The module that exports the tables. */
  schema: Record<string, unknown>
  /** The folder of the routes, as @fastify/autoload reads it: the folder of a route is its URL. */
  routes: string
  /** The folder of the migrations that `npx rowkeeper generate` made. */
  migrations: string
  /** What the OpenAPI document says of it, by its `package.json`. */
  info?: Info
}

/** The title, the version and the license of an API. */
export interface Info {
  title: string
  version: string
  /** By its SPDX identifier. */
  license?: string
}

/** This repository, or the package: the folder that has `src`, of the sources as of the build. */
const OWN = fileURLToPath(new URL('..', import.meta.url))

/** The files that may export the tables, without their ending. The second is that of this repository. */
const SCHEMAS = ['schema', join('src', 'db', 'schema')]

/** What `package.json` says of a project, with the title `My api` for `my-api`. */
function infoOf(folder: string): Info {
  const { name = 'API', version = '0.0.0', license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const words = String(name)
    .replace(/^@[^/]*\//, '')
    .replaceAll(/[-_.]/g, ' ')
  return { title: words.charAt(0).toUpperCase() + words.slice(1), version, ...(license && { license }) }
}

const NOT_FOUND =
  'There is no schema.js here, in dist/ or beside it, that exports the tables: ' +
  'run this where package.json is, after npx rowkeeper build. npx rowkeeper init makes a new project.'

/** The file in `folder` that exports the tables, if there is one. */
export const schemaIn = (folder: string, endings: readonly string[]): string | undefined =>
  SCHEMAS.flatMap((name) => endings.map((ending) => join(folder, name + ending))).find(existsSync)

/**
 * Loads the project that is served: this repository, unless this is the installed package; then that of the working
 * directory. Its build is in `dist/`. One in plain JavaScript has no build.
 *
 * @param sources whether to load its sources, with a loader of TypeScript, and not its build
 * @param own the folder that has `src`
 * @throws {ConfigError} when there is none
 */
export async function loadProject(sources = import.meta.url.endsWith('.ts'), own = OWN): Promise<Project> {
  const endings = sources ? ['.ts', '.js'] : ['.js']
  const folders = [own, ...(sources ? [] : [join(process.cwd(), 'dist')]), process.cwd()]
  for (const folder of folders) {
    const file = schemaIn(folder, endings)
    if (file === undefined) continue
    const schema: Record<string, unknown> = await import(pathToFileURL(file).href)
    return { schema, routes: join(folder, 'routes'), migrations: join(folder, 'drizzle'), info: infoOf(folder) }
  }
  throw new ConfigError([NOT_FOUND])
}
