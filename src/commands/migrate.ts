import { migrate } from '../db/migrate.ts'
import { readOptions, run, withDatabase } from './run.ts'

const USAGE = 'Usage: npm run db:migrate\n\nApplies the migrations that the database of DATABASE_URL lacks.'

/** `npm run db:migrate`: brings the database of `DATABASE_URL` up to date. It needs no other variable. */
await run(async () => {
  readOptions(USAGE)
  await withDatabase(({ db }) => migrate(db))
  console.log('The database is up to date.')
})
