import { migrate } from '../db/migrate.ts'
import { readOptions, run, withDatabase } from './run.ts'

const USAGE = 'Usage: npm run db:migrate\n\nApplies the pending migrations to the database of DATABASE_URL.'

/**
 * `npm run db:migrate`: applies the pending migrations to the database of `DATABASE_URL`. It needs no other variable.
 */
await run(async () => {
  readOptions(USAGE)
  await withDatabase(({ db }) => migrate(db))
  console.log('The database is up to date.')
})
