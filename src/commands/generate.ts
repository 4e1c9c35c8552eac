import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { getTableName } from 'drizzle-orm'
import { ConfigError } from '../config/error.ts'
import { systemTables } from '../db/system-tables.ts'
import { schemaIn } from '../project.ts'
import { command } from './command.ts'
import { fileOf, runNode } from './programs.ts'

/** The folder of a project's migrations. */
const FOLDER = 'drizzle'

/**
 * Takes the service's own tables out of what drizzle-kit knows of the database. In a copy of this repository they are
 * among the tables of the project, from before they had migrations of their own, and would now be dropped.
 */
function forgetSystemTables(): void {
  const meta = join(FOLDER, 'meta')
  const [last] = (existsSync(meta) ? readdirSync(meta) : [])
    .filter((name) => name.endsWith('_snapshot.json'))
    .sort()
    .reverse()
  if (last === undefined) return
  const file = join(meta, last)
  const snapshot: { tables: Record<string, unknown> } = JSON.parse(readFileSync(file, 'utf8'))
  const own = systemTables.map((table) => `public.${getTableName(table)}`).filter((name) => name in snapshot.tables)
  if (own.length === 0) return
  for (const name of own) delete snapshot.tables[name]
  writeFileSync(file, JSON.stringify(snapshot, null, 2))
}

const migrations = () => (existsSync(FOLDER) ? readdirSync(FOLDER).filter((name) => name.endsWith('.sql')) : [])

/** Says when a migration loses data, which the version before may still need. */
function warnOfLoss(file: string): void {
  const [what] = /\bDROP (?:TABLE|COLUMN)\b.*/.exec(readFileSync(join(FOLDER, file), 'utf8')) ?? []
  if (what !== undefined) console.error(`${file} loses data, and instances of the version before may need it: ${what}`)
}

/** `rowkeeper generate`: writes the migration for what changed in the tables. */
export default command({
  synopsis: '[--name NAME]',
  about: 'Writes the migration for what changed in the tables of schema.ts to drizzle/. Read it before you commit it.',
  options: { name: 'string' },
  async run({ name }) {
    const schema = schemaIn('.', ['.ts', '.js'])
    if (schema === undefined) throw new ConfigError(['There is no schema.ts here that exports the tables.'])
    const kit = fileOf('drizzle-kit', 'bin.cjs')
    forgetSystemTables()
    const before = migrations()
    const named = name === undefined ? [] : ['--name', name]
    const options = ['--dialect', 'postgresql', '--schema', schema, '--out', FOLDER, ...named]
    const code = await runNode(kit, 'generate', ...options)
    if (code !== 0) throw new ConfigError(['drizzle-kit could not generate it.'])
    for (const file of migrations().filter((one) => !before.includes(one))) warnOfLoss(file)
  }
})
