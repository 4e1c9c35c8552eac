import { type TSchema, Type } from '@sinclair/typebox'
import { is, SQL } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { validatorOf } from '../http/validation.ts'
import type { Keywords, Kind } from './kind.ts'
import { kindOf } from './kinds.ts'
import { faultsOf, narrowed, withEnum } from './member-schemas.ts'
import { isName } from './words.ts'

/** A member of a resource's items: a column, and the values that clients may give it. */
export interface Member {
  name: string
  column: PgColumn
  kind: Kind
  /** The JSON Schema of its values but null. */
  schema: Keywords
  /** Whether it may be null: its column may. */
  nullable: boolean
  /** Whether a create needs it: its column is not null and has no default. */
  required: boolean
  /** Who gives it a value: clients at any time, clients at its creation, or the server alone. */
  setBy: 'client' | 'creation' | 'server'
  /** What an absent member is in a new row, if that is a value and no SQL. */
  fallback: () => unknown
  /** The default of the column, if that is SQL. */
  sqlDefault: SQL | undefined
}

/**
 * Makes a member of a column and a schema. Instead of a member that does not fit, it returns sentences on why.
 *
 * @param column undefined when the table has none of this name
 */
export function memberOf(name: string, column: PgColumn | undefined, declared: TSchema): Member | string[] {
  const faults = (...found: string[]) => found.map((fault) => `The member "${name}" ${fault}.`)
  if (!isName(name)) return faults('needs another name: letters and digits, such as dueAt')
  if (column === undefined) return faults('has no column of that name')
  const kind = kindOf(column)
  if (typeof kind === 'string') return faults(kind)
  const { createOnly, ...rest } = withEnum(declared)
  const found = [...faultsOf(kind, rest)]
  if (found.length > 0) return faults(...found)
  const schema = narrowed(kind, rest)
  const setBy = schema.readOnly === true ? 'server' : createOnly === true ? 'creation' : 'client'
  const misset = defaultFault(column, schema, setBy)
  if (misset !== undefined) return faults(misset)

  const { default: fallback, defaultFn, notNull, hasDefault } = column
  const sqlDefault = is(fallback, SQL) ? fallback : undefined
  const encoded = (value: unknown) => (value === null && !notNull ? null : kind.encode(value))
  const absent = fallback === undefined || sqlDefault !== undefined ? null : encoded(fallback)
  return {
    name,
    column,
    kind,
    schema,
    nullable: !notNull,
    required: notNull && !hasDefault,
    setBy,
    fallback: defaultFn === undefined ? () => absent : () => encoded(defaultFn()),
    sqlDefault
  }
}

/** What is wrong with the default of a column, in words that follow the name of its member. */
function defaultFault(column: PgColumn, schema: Keywords, setBy: Member['setBy']): string | undefined {
  const { default: fallback, defaultFn, notNull, hasDefault } = column
  if (setBy === 'server' && notNull && !hasDefault) return 'is set by the server only, so its column needs a default'
  if (is(fallback, SQL)) {
    return notNull ? undefined : 'may be null and has a default in SQL: a create could not tell null from absent'
  }
  const value = defaultFn === undefined ? fallback : defaultFn()
  if (value === undefined || (value === null && !notNull)) return undefined
  if (is(value, SQL)) return 'has a $defaultFn that returns SQL: give that to default()'
  return validatorOf(schema)(value) ? undefined : `has the default ${JSON.stringify(value)}, which its schema refuses`
}

/** A schema that takes null too. One schema of two types, so that a validation error says once what is wrong. */
export function orNull({ nullable, schema }: Pick<Member, 'nullable' | 'schema'>): Keywords {
  if (!nullable) return schema
  const { type, enum: values, ...rest } = schema
  if (type === undefined) return validatorOf(schema)(null) ? schema : { anyOf: [schema, { type: 'null' }] }
  return { ...rest, type: [type, 'null'], ...(Array.isArray(values) && { enum: [...values, null] }) }
}

/** `createdAt` or `updatedAt` of a table, which filters and sorts take like a member. */
export const momentOf = (name: string, column: PgColumn) =>
  memberOf(name, column, Type.String({ readOnly: true })) as Member
