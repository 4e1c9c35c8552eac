import { createHash } from 'node:crypto'
import { getTableColumns, getTableName, type SQL } from 'drizzle-orm'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import { type OnDelete, Reference, type Target } from './reference.ts'

/** A set of columns whose values no two rows of an owner share. */
export interface UniqueSet<Name extends string = string> {
  members: readonly Name[]
  /** Whether texts that differ in upper and lower case only are the same. */
  caseInsensitive?: boolean
  /** Whether two nulls are the same. Otherwise rows with a null in the set never conflict, as in SQL. */
  nullsNotDistinct?: boolean
}

/** A condition of a row, in SQL. */
type Check<Name extends string = string> = (columns: Record<Name, PgColumn>) => SQL

/** What holds for the rows of an `ownedTable`, besides its columns. */
export interface Rules<Name extends string = string> {
  /** Sets of columns that are unique among the rows of an owner: their names, or `UniqueSet`s. */
  unique?: readonly (readonly Name[] | UniqueSet<Name>)[]
  /** Conditions of a row. Each is named by the column that is at fault when it does not hold. */
  checks?: { readonly [Column in Name]?: Check<Name> }
}

const RULES = Symbol('rules')

/** Gives a table its rules. */
export const withRules = <T extends PgTable, Name extends string>(table: T, rules: Rules<Name>): T =>
  Object.assign(table, { [RULES]: rules })

/** The rules of a table. One that is no `ownedTable` has none. */
const rulesOf = (table: PgTable): Rules => (table as PgTable & { [RULES]?: Rules })[RULES] ?? {}

interface Named {
  /** The name that PostgreSQL reports when it is violated. */
  name: string
  /** The columns, by their names in TypeScript. */
  members: readonly string[]
}

export interface ReferenceConstraint extends Named {
  kind: 'reference'
  column: Reference
  target: Target
  onDelete: OnDelete | undefined
}

export interface UniqueConstraint extends Named {
  kind: 'unique'
  set: UniqueSet
}

export interface CheckConstraint extends Named {
  kind: 'check'
  condition: SQL
}

export type Constraint = ReferenceConstraint | UniqueConstraint | CheckConstraint

/** The most bytes of a name in PostgreSQL, which cuts off what is longer. */
const NAME_BYTES = 63

/** The name of a constraint or an index: the table, the columns and a suffix. One that is too long ends in its hash. */
export function nameOf(...parts: string[]): string {
  const name = parts.join('_')
  if (Buffer.byteLength(name) <= NAME_BYTES) return name
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 8)
  // With `stream` it leaves out a character that is cut.
  const start = new TextDecoder().decode(Buffer.from(name).subarray(0, NAME_BYTES - hash.length - 1), { stream: true })
  return `${start}_${hash}`
}

const setOf = (unique: readonly string[] | UniqueSet): UniqueSet => ('members' in unique ? unique : { members: unique })

/** The constraints of a table. Their names and their meaning are stated here alone. */
export function constraintsOf(table: PgTable): Constraint[] {
  const tableName = getTableName(table)
  const columns = getTableColumns(table) as Record<string, PgColumn>
  const { unique = [], checks = {} } = rulesOf(table)
  const sqlName = (member: string) => columns[member]?.name ?? member
  const references = Object.entries(columns).flatMap(([member, column]): ReferenceConstraint[] => {
    if (!(column instanceof Reference)) return []
    const { target, onDelete } = column
    const name = nameOf(tableName, column.name, 'fk')
    return [{ kind: 'reference', name, members: [member], column, target: target(), onDelete }]
  })
  const uniques = unique.map(setOf).map((set): UniqueConstraint => {
    const name = nameOf(tableName, ...set.members.map(sqlName), 'unique')
    return { kind: 'unique', name, members: set.members, set }
  })
  const conditions = Object.entries<Check>(checks as Record<string, Check>).map(([member, check]): CheckConstraint => {
    const name = nameOf(tableName, sqlName(member), 'check')
    return { kind: 'check', name, members: [member], condition: check(columns) }
  })
  return [...references, ...uniques, ...conditions]
}

/** The references of a table to others or to itself. */
export const referencesOf = (table: PgTable): ReferenceConstraint[] =>
  constraintsOf(table).filter((one) => one.kind === 'reference')

/** A table whose rows refer to those of another. */
export interface Dependent<T extends PgTable = PgTable> extends ReferenceConstraint {
  table: T
}

/** The references of `tables` to `target`. */
export const dependentsOf = <T extends PgTable>(target: PgTable, tables: Iterable<T>): Dependent<T>[] =>
  [...tables].flatMap((table) =>
    referencesOf(table).flatMap((reference) =>
      (reference.target as PgTable) === target ? [{ ...reference, table }] : []
    )
  )

/** The tables in their order, except that those that `before` says come before each. */
function ordered<T extends PgTable>(tables: readonly T[], before: (table: T) => readonly T[]): T[] {
  const seen = new Set<T>()
  const placed: T[] = []
  const place = (table: T) => {
    if (seen.has(table)) return
    seen.add(table)
    before(table).forEach(place)
    placed.push(table)
  }
  tables.forEach(place)
  return placed
}

/** The tables in an order in which their rows can be deleted: first those that refer to others. */
export const deletionOrder = <T extends PgTable>(tables: readonly T[]): T[] =>
  ordered(tables, (table) => dependentsOf(table, tables).map((dependent) => dependent.table))

/** The tables in an order in which their rows can be inserted: first those that others refer to. */
export const insertionOrder = <T extends PgTable>(tables: readonly T[]): T[] =>
  ordered(tables, (table) => tables.filter((one) => dependentsOf(one, [table]).length > 0))

/** The names of tables whose references lead from `table` through others back to it; undefined when there are none. */
export function circleOf(table: PgTable): string[] | undefined {
  const lead = (from: PgTable, path: PgTable[]): PgTable[] | undefined => {
    for (const { target } of referencesOf(from)) {
      if (target === from) continue
      if (target === table) return [...path, target]
      const found = path.includes(target) ? undefined : lead(target, [...path, target])
      if (found !== undefined) return found
    }
    return undefined
  }
  return lead(table, [table])?.map(getTableName)
}
