import type { Owner } from '../auth/user.ts'
import { exportUser } from '../db/user-data.ts'
import { readOptions, run, withDatabase } from './run.ts'

const USAGE = 'Usage: npm run user:export -- --sub USER'

/** `npm run user:export -- --sub alice`: prints all that the user owns, a JSON object a line. */
await run(async () => {
  const { sub } = readOptions(USAGE, ['sub'])
  if (!sub) throw new Error(USAGE)
  await withDatabase((connection) =>
    exportUser(
      connection,
      sub as Owner,
      // Nothing is fetched before it was taken.
      (lines) => new Promise((taken) => process.stdout.write(lines, () => taken()))
    )
  )
})
