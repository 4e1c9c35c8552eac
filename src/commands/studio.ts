import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { embeddedFolder } from '../config/database-url.ts'
import { commandConfig, readOptions, run } from './run.ts'

const USAGE = 'Usage: npm run db:studio\n\nOpens drizzle-kit studio, a browser for the tables of DATABASE_URL.'

/** `npm run db:studio`: starts drizzle-kit studio for the database that drizzle.config.ts names. */
await run(async () => {
  readOptions(USAGE)
  const folder = embeddedFolder(commandConfig('database').database.url)
  // The studio opens the embedded database with its own engine, so no other process may have it open.
  if (folder !== undefined) await (await import('../db/lock.ts')).lock(folder)
  const studio = spawn('drizzle-kit', ['studio'], { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => studio.kill(signal))
  await once(studio, 'exit')
})
