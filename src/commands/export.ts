import type { Owner } from '../auth/user.ts'
import { ConfigError } from '../config/error.ts'
import { ownedTablesOf } from '../db/owned-tables.ts'
import { exportUser } from '../db/user-data.ts'
import { command } from './command.ts'
import { builtProject, withDatabase } from './run.ts'

/** `rowkeeper export --sub alice`: prints all rows of the user, one JSON object on each line. */
export default command({
  synopsis: '--sub USER',
  about: 'Writes all rows of the user to standard output, one JSON object on each line, as of one moment.',
  options: { sub: 'string' },
  async run({ sub }) {
    if (!sub) throw new ConfigError(['rowkeeper export needs --sub USER.'])
    const { schema, migrations } = await builtProject()
    // The next rows are fetched after standard output has taken these.
    const write = (lines: string) => new Promise<void>((written) => process.stdout.write(lines, () => written()))
    await withDatabase(migrations, (client) => exportUser(client, sub as Owner, ownedTablesOf(schema), write))
  }
})
