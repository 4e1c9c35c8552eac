import { parseArgs } from 'node:util'
import type { Owner } from '../auth/user.ts'
import { exportUser } from '../db/user-data.ts'
import { run, withDatabase } from './run.ts'

/** `npm run user:export -- --sub alice`: prints all that the user owns, a JSON object a line. */
await run(async () => {
  const { sub } = parseArgs({ options: { sub: { type: 'string' } } }).values
  if (!sub) throw new Error('Usage: npm run user:export -- --sub USER')
  await withDatabase((connection) =>
    exportUser(
      connection,
      sub as Owner,
      // Nothing is fetched before it was taken.
      (lines) => new Promise((taken) => process.stdout.write(lines, () => taken()))
    )
  )
})
