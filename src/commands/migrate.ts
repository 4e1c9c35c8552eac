import pino from 'pino'
import { loadConfig } from '../config.ts'
import { connect } from '../db/connect.ts'
import { migrate } from '../db/migrate.ts'
import { run } from './run.ts'

/** `npm run db:migrate`: brings the database of `DATABASE_URL` up to date. It needs no other variable. */
await run(async () => {
  const { database } = loadConfig(process.env, 'database')
  const { db, close } = await connect(
    // A migration may take longer than a request's statement may, and its lock belongs to one connection.
    { ...database, poolMax: 1, statementTimeoutMs: 0 },
    pino({ level: 'silent' })
  )
  try {
    await migrate(db)
  } finally {
    await close()
  }
  console.log('The database is up to date.')
})
