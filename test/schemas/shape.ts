import { Type } from '@sinclair/typebox'
import { boolean, date, integer, type PgColumnBuilderBase, text } from 'drizzle-orm/pg-core'
import fc from 'fast-check'
import type { OwnedTable } from '../../src/db/owned.ts'
import { type OnDelete, reference } from '../../src/db/reference.ts'
import { ownedTable } from '../../src/db/tables.ts'
import { equals, type Resource, resource } from '../../src/resource/resource.ts'

/** Makes one of the values that an arbitrary of fast-check has. */
export type Gen = fc.GeneratorValue

/** A number from 0 to `below - 1`. */
export const nat = (gen: Gen, below: number) => gen(fc.nat, { max: below - 1 })
/** Whether something is so that is so once in `n` times. */
export const once = (gen: Gen, n: number) => nat(gen, n) === 0
export const pick = <T>(gen: Gen, values: readonly T[]): T => values[nat(gen, values.length)] as T

/** The kinds of members, and so few values of each that rows often share one. */
export const VALUES = {
  text: ['a', 'A', 'b', ''],
  integer: [0, 1, 2],
  boolean: [false, true],
  date: ['2026-01-31', '2028-02-29']
} as const

type Kind = keyof typeof VALUES

export interface MemberShape {
  name: string
  kind: Kind | 'reference'
  nullable: boolean
  /** The number of the table that it refers to, and what a delete there does. */
  target: number | undefined
  onDelete: OnDelete | undefined
}

export interface UniqueShape {
  members: string[]
  caseInsensitive: boolean
  nullsNotDistinct: boolean
}

/** A resource of a generated schema. */
export interface TableShape {
  members: MemberShape[]
  unique: UniqueShape[]
  max: number | undefined
}

const MOST_TABLES = 5

function valueMember(gen: Gen, i: number): MemberShape {
  const kind = pick(gen, Object.keys(VALUES) as Kind[])
  return { name: `value${i}`, kind, nullable: once(gen, 2), target: undefined, onDelete: undefined }
}

/** A reference of table `own` to itself or to one before it. */
function referenceMember(gen: Gen, i: number, own: number): MemberShape {
  const target = nat(gen, own + 1)
  // Nobody could create the first row of a table whose rows all refer to another one of it.
  const nullable = target === own || once(gen, 2)
  const onDelete = pick(gen, [undefined, 'cascade', nullable ? 'clear' : 'cascade'] as const)
  return { name: `ref${i}`, kind: 'reference', nullable, target, onDelete }
}

function uniqueOf(gen: Gen, members: MemberShape[], own: number): UniqueShape {
  const both = [pick(gen, members), pick(gen, members)]
  const some = [...new Set(once(gen, 3) ? both.slice(1) : both)]
  // A declaration with both is refused.
  const clearsOwn = some.some(({ target, onDelete }) => target === own && onDelete === 'clear')
  return {
    members: some.map(({ name }) => name),
    caseInsensitive: once(gen, 2),
    nullsNotDistinct: once(gen, 2) && !clearsOwn
  }
}

function tableOf(gen: Gen, own: number): TableShape {
  const values = Array.from({ length: 1 + nat(gen, 3) }, (_, i) => valueMember(gen, i))
  const references = Array.from({ length: nat(gen, own === 0 ? 2 : 4) }, (_, i) => referenceMember(gen, i, own))
  const members = [...values, ...references]
  const sets = Array.from({ length: nat(gen, 3) }, () => uniqueOf(gen, members, own))
  // A set is named by its members, so there is one set of them.
  const unique = [...new Map(sets.map((set) => [set.members.join(), set])).values()]
  return { members, unique, max: once(gen, 3) ? 2 + nat(gen, 4) : undefined }
}

/** A schema: its tables, each of which may refer to itself and to those before it. */
export const shapesOf = (gen: Gen): TableShape[] =>
  Array.from({ length: 1 + nat(gen, MOST_TABLES) }, (_, own) => tableOf(gen, own))

function columnOf(member: MemberShape, tables: OwnedTable[]): PgColumnBuilderBase {
  const { kind, target = 0, onDelete, nullable } = member
  // The names of the columns differ from those of the members.
  const name = `${member.name}_of`
  const builders = {
    text: () => text(name),
    integer: () => integer(name),
    boolean: () => boolean(name),
    date: () => date(name, { mode: 'string' }),
    reference: () => reference(name, () => tables[target] as never, onDelete === undefined ? {} : { onDelete })
  }
  const column = builders[kind]()
  return nullable ? column : column.notNull()
}

const SCHEMAS = {
  text: Type.String({ maxLength: 5 }),
  integer: Type.Integer({ minimum: 0, maximum: 9 }),
  boolean: Type.Boolean(),
  date: Type.String(),
  reference: Type.String()
}

/** A generated resource, as it is served. */
export interface Made {
  shape: TableShape
  table: OwnedTable
  resource: Resource<object, object>
  url: string
  notFound: string
}

/** Makes the tables and the resources of a schema. Their names begin with `prefix`. */
export function make(shapes: TableShape[], prefix: string): Made[] {
  const tables: OwnedTable[] = []
  return shapes.map((shape, i) => {
    const { members, unique, max } = shape
    const columns = Object.fromEntries(members.map((member) => [member.name, columnOf(member, tables)]))
    const table = ownedTable(`${prefix}_table${i}`, columns, { unique })
    tables.push(table)
    const references = members.filter(({ kind }) => kind === 'reference')
    const made = resource(table, {
      name: `${prefix}Item${i}`,
      members: Object.fromEntries(members.map(({ name, kind }) => [name, SCHEMAS[kind]])) as never,
      filters: Object.fromEntries(references.map(({ name }) => [name, equals(name)])) as never,
      ...(max !== undefined && { max })
    })
    const { collection, singular } = made.declaration.words
    return {
      shape,
      table,
      resource: made as Resource<object, object>,
      url: `/api/${collection}`,
      notFound: `${singular.replaceAll(' ', '_')}_not_found`
    }
  })
}
