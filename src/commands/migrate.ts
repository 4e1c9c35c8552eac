import { migrate } from '../db/migrate.ts'
import { run, withDatabase } from './run.ts'

/** `npm run db:migrate`: brings the database of `DATABASE_URL` up to date. It needs no other variable. */
await run(async () => {
  await withDatabase(({ db }) => migrate(db))
  console.log('The database is up to date.')
})
