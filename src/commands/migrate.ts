import { migrate } from '../db/migrate.ts'
import { command } from './command.ts'
import { builtProject, withDatabase } from './run.ts'

/** `rowkeeper migrate`: applies the migrations to the database of `DATABASE_URL`. It needs no other variable. */
export default command({
  synopsis: '',
  about: "Applies the project's pending migrations, and the service's own, to the database of DATABASE_URL.",
  async run() {
    const { migrations } = await builtProject()
    await withDatabase(migrations, ({ db }) => migrate(db, migrations))
    console.log('The database is up to date.')
  }
})
