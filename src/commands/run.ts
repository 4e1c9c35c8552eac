import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import pino from 'pino'
import { type Config, ConfigError, loadConfig } from '../config/config.ts'
import { type Client, openClient } from '../db/client.ts'
import { classify } from '../db/errors.ts'
import { misconfiguration } from '../db/misconfiguration.ts'

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

/**
 * Reads the options of a command. Each has a text as its value. With `--help` it prints the usage and ends the process.
 *
 * @throws for an unknown option, and for an argument that is not an option
 */
export function readOptions<Name extends string>(usage: string, names: Name[] = []): Partial<Record<Name, string>> {
  const texts = names.map((name) => [name, { type: 'string' }] as const)
  const { values } = parseArgs({ options: { ...Object.fromEntries(texts), help: { type: 'boolean', short: 'h' } } })
  if (values.help) {
    console.log(`${usage}\n\nExit code: 0 when it is done, 1 when it is not, with a sentence that says why.`)
    process.exit(0)
  }
  return values as Partial<Record<Name, string>>
}

/** Loads the configuration of a command. A command has no log, so warnings go to standard error. */
export function commandConfig(part: 'all' | 'database'): Config {
  const config = loadConfig(process.env, part)
  for (const warning of config.warnings) console.error(warning)
  return config
}

const UNREACHABLE = 'PostgreSQL cannot be used by DATABASE_URL: check its host, its port, and that it runs.'

/** Opens the database of `DATABASE_URL` for `work`, and closes it afterwards. It needs no other variable. */
export async function withDatabase(work: (client: Client) => Promise<void>): Promise<void> {
  const { database } = commandConfig('database')
  const client = await openClient(database, pino({ level: 'silent' }))
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
