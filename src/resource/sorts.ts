import { asc, desc, gt, lt, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import type { SortKey } from './kind.ts'
import { SORT_CHARACTERS } from './kinds.ts'
import type { Member } from './members.ts'

/** One order of a list: by a member and then by the id, or by the id alone. */
export interface Sort {
  /** As the query says it: the name of the member, after `-` when the order is descending. */
  name: string
  descending: boolean
  /** What the list is sorted by; undefined for the order of creation, which is that of the ids. */
  key: Key | undefined
  by: SQL[]
  /** The condition by which the list goes on after a cursor. */
  after: SQL
}

/** The member that a list is sorted by. */
interface Key {
  member: Member
  /** The value of an item as the text that a cursor has; null for none. */
  write(value: unknown): string | null
  /** Whether a text is a value that PostgreSQL accepts. */
  accepts(text: string): boolean
  /** The most bytes of a text. */
  maxBytes: number
}

/** No number, boolean, date, UUID or label of an enum that PostgreSQL writes is longer. */
const WORD_CHARACTERS = 64
const BYTES_OF_CHARACTER = 4

/** The most characters of a member's values. */
function charactersOf({ kind, schema }: Member): number {
  if (Array.isArray(schema.enum)) return Math.max(...schema.enum.map((label) => String(label).length))
  return kind.sort?.characters ?? Number(schema.maxLength ?? WORD_CHARACTERS)
}

/** Whether a member is a text that is longer than a cursor may be. */
const isLong = (member: Member) => charactersOf(member) > SORT_CHARACTERS

/** Why no list can be sorted by a member, in words that follow its name; undefined if one can. */
export function sortFault(member: Member | undefined): string | undefined {
  if (member === undefined) return 'names no member'
  if (member.kind.sort === undefined) return 'is an array or a document'
  // Only a text can be cut off.
  if (member.kind.name !== 'text' && isLong(member)) return `may have more than ${SORT_CHARACTERS} characters`
  return undefined
}

/** Makes the SQL of what a list is sorted by, of a column and of the value in a cursor alike. */
function keyOf(member: Member, descending: boolean): (value: SQL) => SQL {
  const { of, infinite } = member.kind.sort as SortKey
  const start = (value: SQL) =>
    of(isLong(member) ? sql`left(${value}::text, ${sql.raw(String(SORT_CHARACTERS))})` : value)
  if (!member.nullable) return start
  // Null comes last in both orders: as an infinity, or after a digit that no other value begins with.
  if (infinite !== undefined) {
    const none = descending ? sql`'-infinity'` : sql`'infinity'`
    return (value) => sql`coalesce(${start(value)}, ${none}::${sql.raw(infinite)})`
  }
  const [some, none] = descending ? [sql`'1'`, sql`'0'`] : [sql`'0'`, sql`'1'`]
  return (value) => sql`coalesce(${some} || ${start(value)}, ${none})`
}

function cursorKey(member: Member): Key {
  const characters = Math.min(charactersOf(member), SORT_CHARACTERS)
  return {
    member,
    write(value) {
      if (value === null) return null
      const text = String(value)
      return isLong(member) ? [...text].slice(0, SORT_CHARACTERS).join('') : text
    },
    accepts: (member.kind.sort as SortKey).accepts,
    maxBytes: characters * BYTES_OF_CHARACTER
  }
}

/** Makes the order of a member. The member `createdAt` is that of the ids. */
export function sortOf(member: Member, descending: boolean, idColumn: PgColumn): Sort {
  const id = sql.placeholder('id')
  const by = descending ? desc : asc
  const name = `${descending ? '-' : ''}${member.name}`
  // Ids are in the order of creation, and in that of the primary key.
  if (member.name === 'createdAt') {
    const after = (descending ? lt : gt)(idColumn, id)
    return { name, descending, key: undefined, by: [by(idColumn)], after }
  }
  const key = keyOf(member, descending)
  const [row, last] = [key(sql`${member.column}`), key(sql`${sql.placeholder('key')}`)]
  const beyond = sql.raw(descending ? '<' : '>')
  return {
    name,
    descending,
    key: cursorKey(member),
    by: [by(row), by(idColumn)],
    after: sql`${id}::uuid is null or (${row}, ${idColumn}) ${beyond} (${last}, ${id}::uuid)`
  }
}
