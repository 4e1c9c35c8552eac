import { parseArgs } from 'node:util'
import type { Owner } from '../auth/user.ts'
import { purgeUser } from '../db/user-data.ts'
import { run, withDatabase } from './run.ts'

/** `npm run user:purge -- --sub alice --confirm alice`: deletes all that the user owns. */
await run(async () => {
  const { sub, confirm } = parseArgs({ options: { sub: { type: 'string' }, confirm: { type: 'string' } } }).values
  if (!sub || confirm !== sub) {
    throw new Error(
      'Usage: npm run user:purge -- --sub USER --confirm USER, the same one twice: nothing brings it back'
    )
  }
  await withDatabase(async (connection) => {
    for (const [table, rows] of Object.entries(await purgeUser(connection, sub as Owner))) {
      console.log(`${table}: ${rows} deleted`)
    }
  })
})
