import { ConfigError } from '../config.ts'

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

function describe(error: unknown): string {
  const thrown = error as NodeJS.ErrnoException & { cause?: NodeJS.ErrnoException }
  // Drizzle wraps the driver's error, which is the one that helps. One of several addresses tried has no message.
  const { message, code } = thrown.cause ?? thrown
  return message || String(code)
}
