import type { Owner } from '../auth/user.ts'
import { purgeUser } from '../db/user-data.ts'
import { readOptions, run, withDatabase } from './run.ts'

const USAGE = 'Usage: npm run user:purge -- --sub USER --confirm USER (the same user twice: a purge cannot be undone)'

/** `npm run user:purge -- --sub alice --confirm alice`: deletes all rows of the user. */
await run(async () => {
  const { sub, confirm } = readOptions(USAGE, ['sub', 'confirm'])
  if (!sub || confirm !== sub) throw new Error(USAGE)
  await withDatabase(async (client) => {
    for (const [table, rows] of Object.entries(await purgeUser(client, sub as Owner))) {
      console.log(`${table}: ${rows} deleted`)
    }
  })
})
