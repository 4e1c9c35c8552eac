import type { Owner } from '../auth/user.ts'
import { ConfigError } from '../config/error.ts'
import { ownedTablesOf } from '../db/owned-tables.ts'
import { purgeUser } from '../db/user-data.ts'
import { command } from './command.ts'
import { builtProject, withDatabase } from './run.ts'

/** `rowkeeper purge --sub alice --confirm alice`: deletes all rows of the user. */
export default command({
  synopsis: '--sub USER --confirm USER',
  about: 'Deletes all rows of the user, in one transaction. Name the user twice: this cannot be undone.',
  options: { sub: 'string', confirm: 'string' },
  async run({ sub, confirm }) {
    if (!sub || confirm !== sub)
      throw new ConfigError(['rowkeeper purge needs --sub USER --confirm USER, the same twice.'])
    const { schema, migrations } = await builtProject()
    await withDatabase(migrations, async (client) => {
      const deleted = await purgeUser(client, sub as Owner, ownedTablesOf(schema))
      for (const [table, rows] of Object.entries(deleted)) console.log(`${table}: ${rows} deleted`)
    })
  }
})
