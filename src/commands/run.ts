import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import { type Config, ConfigError, loadConfig } from '../config/config.ts'
import { type Client, openClient } from '../db/client.ts'
import { classify } from '../db/errors.ts'
import { misconfiguration } from '../db/misconfiguration.ts'
import { loadProject, type Project } from '../project.ts'
import { buildProject } from './build-project.js'
import type { Command } from './command.ts'

/**
 * Refuses a Node.js that is too old.
 *
 * @param version the version of Node.js, such as 20.19.0
 * @throws {ConfigError} when it is older than `package.json` requires
 */
export function requireNode(version = process.versions.node): void {
  const { engines } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  const least = engines.node.replace('>=', '')
  if (version.localeCompare(least, 'en', { numeric: true }) >= 0) return
  throw new ConfigError([`Node.js ${version} is too old: Rowkeeper needs ${least} or later.`])
}

/**
 * Runs the body of a command. An error becomes sentences on standard error and exit code 1. It prints no stack, which
 * would hide the host and the reason that the database driver's message names.
 */
export async function run(main: () => Promise<void>): Promise<void> {
  try {
    requireNode()
    await main()
  } catch (error) {
    console.error(error instanceof ConfigError ? error.message : `Failed: ${describe(error)}`)
    // A failed start may leave handles open, which would keep the process alive.
    process.exit(1)
  }
}

export const EXIT_CODES = 'Exit code: 0 when it is done, 1 when it is not, with a sentence that says why.'

/** Runs a command with what was given to it. With `--help` it prints how it is used, and does nothing else. */
export async function runCommand(name: string, command: Command, given: string[]): Promise<void> {
  if (given.includes('--help') || given.includes('-h')) {
    console.log(`Usage: rowkeeper ${name} ${command.synopsis}`.trimEnd())
    console.log(`\n${command.about}\n\n${EXIT_CODES}`)
  } else await run(() => command.execute(name, given))
}

/** Loads the configuration of a command. A command has no log, so warnings go to standard error. */
export function commandConfig(part: 'all' | 'database'): Config {
  const config = loadConfig(process.env, part)
  for (const warning of config.warnings) console.error(warning)
  return config
}

/**
 * Loads what the project declares, from its build if it has one, which is made anew when its sources changed.
 *
 * @throws {ConfigError} when it does not compile
 */
export async function builtProject(): Promise<Project> {
  if (!(await buildProject())) throw new ConfigError(['The project does not compile.'])
  return loadProject()
}

const UNREACHABLE = 'PostgreSQL cannot be used by DATABASE_URL: check its host, its port, and that it runs.'

/**
 * Opens the database of `DATABASE_URL` for `work`, and closes it afterwards. It needs no other variable.
 *
 * @param migrations those of the project, for an embedded database
 */
export async function withDatabase(migrations: string, work: (client: Client) => Promise<void>): Promise<void> {
  const { database } = commandConfig('database')
  const client = await openClient(database, Fastify().log, migrations)
  try {
    await work(client)
  } catch (error) {
    const reason = misconfiguration(error) ?? (classify(error) === 'unavailable' ? UNREACHABLE : undefined)
    throw reason === undefined ? error : new Error(`${reason} (${describe(error)})`)
  } finally {
    await client.close()
  }
}

function describe(error: unknown): string {
  const thrown = error as NodeJS.ErrnoException & { cause?: NodeJS.ErrnoException }
  // Drizzle wraps the driver's error, which has the reason. An error after several tried addresses has no message.
  const { message, code } = thrown.cause ?? thrown
  return message || String(code)
}
