import type { Owner } from '../auth/user.ts'
import { exportUser } from '../db/user-data.ts'
import { readOptions, run, withDatabase } from './run.ts'

const USAGE = 'Usage: npm run user:export -- --sub USER'

/** `npm run user:export -- --sub alice`: prints all rows of the user, one JSON object on each line. */
await run(async () => {
  const { sub } = readOptions(USAGE, ['sub'])
  if (!sub) throw new Error(USAGE)
  await withDatabase((client) =>
    exportUser(
      client,
      sub as Owner,
      // The next rows are fetched after standard output has taken these.
      (lines) => new Promise((written) => process.stdout.write(lines, () => written()))
    )
  )
})
