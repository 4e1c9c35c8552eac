import { embeddedFolder } from '../config/database-url.ts'
import { command } from './command.ts'
import { fileOf, runNode } from './programs.ts'
import { commandConfig } from './run.ts'

// Imported when it is needed, because only the embedded engine has what it needs. This is not in the method below,
// because TypeScript 6.0 leaves the ending `.ts` of an import in a method.
const lock = async (folder: string) => (await import('../db/lock.ts')).lock(folder)

/** `npm run db:studio`: starts drizzle-kit studio for the database that drizzle.config.ts names. */
export default command({
  synopsis: '',
  about: 'Opens drizzle-kit studio, a browser for the tables of DATABASE_URL. It needs a drizzle.config.ts.',
  async run() {
    const folder = embeddedFolder(commandConfig('database').database.url)
    // The studio opens the embedded database with its own engine, so no other process may have it open.
    if (folder !== undefined) await lock(folder)
    process.exitCode = await runNode(fileOf('drizzle-kit', 'bin.cjs'), 'studio')
  }
})
