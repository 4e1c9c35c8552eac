import { getTableName } from 'drizzle-orm'
import type { PgTable } from 'drizzle-orm/pg-core'
import {
  circleOf,
  constraintsOf,
  type ReferenceConstraint,
  referencesOf,
  type UniqueConstraint
} from '../db/constraints.ts'
import { bytesOf } from './member-schemas.ts'
import type { Member } from './members.ts'

/** The most bytes of the values of a unique set. An index of PostgreSQL takes 2,704, with the owner and a header. */
const UNIQUE_BYTES_MAX = 2000

const BYTES_OF_CHARACTER = 4

/** The most bytes that PostgreSQL stores of a member. */
const storedBytesOf = ({ kind, schema }: Member) => {
  const most = bytesOf(schema)
  return kind.name === 'text' && schema.enum === undefined ? most * BYTES_OF_CHARACTER : most
}

/** What is wrong with a reference, in words that follow the name of its member. */
function* referenceFaults({ column, target, onDelete }: ReferenceConstraint): Generator<string> {
  if (!('createDigest' in target)) yield `refers to "${getTableName(target)}", which is no ownedTable`
  if (column.hasDefault) yield 'has a default, and no row is there for every user'
  if (onDelete === 'clear' && column.notNull) yield "is not null, so onDelete: 'clear' cannot make it null"
}

/** What is wrong with a unique set. */
function* uniqueFaults(
  table: PgTable,
  { members: names, set }: UniqueConstraint,
  known: ReadonlyMap<string, Member>
): Generator<string> {
  const members = names.flatMap((name) => known.get(name) ?? [])
  if (names.length === 0) yield 'has no members'
  for (const name of names) if (!known.has(name)) yield `names "${name}", which is no member`
  for (const { name, kind } of members) if (kind.sort === undefined) yield `names "${name}", which has no order`
  const bytes = members.reduce((sum, member) => sum + storedBytesOf(member), 0)
  // The deleted row is still there when those that refer to it are cleared.
  const own = referencesOf(table).filter(
    ({ target, onDelete }) => (target as PgTable) === table && onDelete === 'clear'
  )
  for (const { members } of set.nullsNotDistinct ? own : []) {
    const [name = ''] = members
    if (names.includes(name)) yield `has nullsNotDistinct, so "${name}" may not be cleared by a delete in its own table`
  }
  if (bytes > UNIQUE_BYTES_MAX) yield `can have ${bytes} bytes, and the most is ${UNIQUE_BYTES_MAX}`
}

/** What is wrong with the constraints of a table, of which clients see `members`. */
export function* constraintFaults(table: PgTable, members: readonly Member[]): Generator<string> {
  const known = new Map(members.map((member) => [member.name, member]))
  for (const one of constraintsOf(table)) {
    const [name] = one.members
    if (one.kind === 'reference') for (const fault of referenceFaults(one)) yield `The member "${name}" ${fault}.`
    if (one.kind === 'unique') {
      for (const fault of uniqueFaults(table, one, known)) yield `The unique set "${one.members.join()}" ${fault}.`
    }
    if (one.kind === 'check' && !known.has(String(name))) yield `The check "${name}" is named by no member.`
  }
  const circle = circleOf(table)
  if (circle !== undefined) yield `The references ${circle.join(' → ')} form a circle.`
}
