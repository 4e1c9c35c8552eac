import pino from 'pino'
import { type Config, ConfigError, loadConfig } from '../config.ts'
import { type Connection, connect } from '../db/connect.ts'

/**
 * Runs a command's body: what it throws becomes sentences on standard error and exit code 1. Messages of the database
 * driver name the host and the reason; a stack would only hide them.
 */
export async function run(main: () => Promise<void>): Promise<void> {
  try {
    await main()
  } catch (error) {
    console.error(error instanceof ConfigError ? error.message : `Failed: ${describe(error)}`)
    // Whatever a failed start left open must not keep the process.
    process.exit(1)
  }
}

/** The configuration of a command, which has no log: it warns on standard error. */
export function commandConfig(part: 'all' | 'database'): Config {
  const config = loadConfig(process.env, part)
  for (const warning of config.warnings) console.error(warning)
  return config
}

/** Opens the database of `DATABASE_URL`, the one variable that it needs, for `work`, and closes it. */
export async function withDatabase(work: (connection: Connection) => Promise<void>): Promise<void> {
  const { database } = commandConfig('database')
  // What a command does may take longer than a request's statement may, and belongs to one connection.
  const connection = await connect({ ...database, poolMax: 1, statementTimeoutMs: 0 }, pino({ level: 'silent' }))
  try {
    await work(connection)
  } finally {
    await connection.close()
  }
}

function describe(error: unknown): string {
  const thrown = error as NodeJS.ErrnoException & { cause?: NodeJS.ErrnoException }
  // Drizzle wraps the driver's error, which is the one that helps. One of several addresses tried has no message.
  const { message, code } = thrown.cause ?? thrown
  return message || String(code)
}
