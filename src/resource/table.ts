import { getTableColumns } from 'drizzle-orm'
import { getTableConfig, type PgColumn } from 'drizzle-orm/pg-core'
import { constraintsOf } from '../db/constraints.ts'
import type { OwnedTable } from '../db/owned.ts'

/** What `ownedTable` makes (`src/db/tables.ts`). */
export type ResourceTable = OwnedTable & Record<'id' | 'createdAt' | 'updatedAt' | 'version' | 'createDigest', PgColumn>

/** The columns that every `ownedTable` has. */
export type Given = 'userId' | 'id' | 'createdAt' | 'updatedAt' | 'version' | 'createDigest'

export const GIVEN: ReadonlySet<string> = new Set([
  'userId',
  'id',
  'createdAt',
  'updatedAt',
  'version',
  'createDigest'
] satisfies Given[])

/** Why nothing that every item has can be declared, in words that follow its name. */
export const givenFault = (name: string) => {
  if (name === 'createDigest') return 'is for the service alone'
  return name === 'userId' ? 'is the owner, who never leaves the server' : 'is there already: every item has it'
}

/** Whether `ownedTable` made a table: it has the columns, the policy, and a key that begins with the owner. */
export function isOwned(table: ResourceTable): boolean {
  const { name, policies, primaryKeys } = getTableConfig(table)
  const key = primaryKeys[0]?.columns.map((column) => column.name).join()
  const isWhole = [...GIVEN].every((given) => given in table) && table.id.getSQLType() === 'uuid'
  return isWhole && key === 'user_id,id' && policies.some((policy) => policy.name === `${name}_owner`)
}

/** What is wrong with the columns of a table, of which `declared` are members. */
export function* columnFaults(table: ResourceTable, declared: object): Generator<string> {
  const names = new Set<string>()
  const own = new Set(constraintsOf(table).map(({ name }) => name))
  const foreign = getTableConfig(table).foreignKeys.filter((key) => !own.has(key.getName()))
  const referring = new Set(foreign.flatMap((key) => key.reference().columns.map(({ name }) => name)))
  for (const [name, column] of Object.entries<PgColumn>(getTableColumns(table))) {
    // By another name than its own the owner would be shown, and changed.
    if (names.has(column.name)) yield `The column "${name}" has the SQL name of another column, ${column.name}.`
    names.add(column.name)
    // PostgreSQL checks these against the rows of all users, so an error would tell of theirs.
    if (column.isUnique || column.primary) {
      yield `The column "${name}" must be unique among the rows of all users: use the unique of ownedTable.`
    }
    if (referring.has(column.name)) {
      yield `The column "${name}" may refer to the rows of other users: use reference().`
    }
    // Drizzle calls it once, when the statement is prepared.
    if (column.onUpdateFn !== undefined) yield `The column "${name}" has $onUpdate, which is not supported.`
    if (GIVEN.has(name) || Object.hasOwn(declared, name)) continue
    if (column.notNull && !column.hasDefault) {
      yield `The column "${name}" is not null and has no default, so it must be a member.`
    }
    if (column.defaultFn !== undefined) yield `The column "${name}" has a $defaultFn, so it must be a member.`
  }
}
