import { type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import type { Built } from './statement.ts'

/** Text that is JSON as it stands, or what PostgreSQL makes text of. */
type Piece = string | SQL

/** How the values of a type are written as JSON. PostgreSQL and Node write the same bytes. */
interface Writer {
  /** The pieces that PostgreSQL writes; without them `to_json` does. (Measured for a moment: 0.2 µs, not 0.7.) */
  pieces?: (value: SQL) => Piece[]
  /** The same in Node, of the text that PostgreSQL sends of a value. */
  write(text: string): string
}

const unquoted: Writer = { pieces: (value) => [value], write: (text) => text }
const quoted: Writer = { pieces: (value) => ['"', value, '"'], write: (text) => `"${text}"` }
// JSON.stringify and to_json escape the same characters in the same way.
const escaped: Writer = { write: (text) => JSON.stringify(text) }

// Sessions are in UTC (`PINNED` in src/db/settings.ts). ` BC` follows the offset, and infinity has none.
const writeMoment = (text: string) =>
  text.endsWith('+00') ? `"${text.replace(' ', 'T')}:00"` : `"${text.replace('+00', '').replaceAll(' ', 'T')}+00:00"`

const WRITERS: Record<string, Writer> = {
  PgText: escaped,
  PgVarchar: escaped,
  PgEnumColumn: escaped,
  PgUUID: quoted,
  PgInteger: unquoted,
  PgSmallInt: unquoted,
  PgBigInt53: unquoted,
  PgDoublePrecision: unquoted,
  // As text, since a reader of JSON numbers would round it.
  PgNumeric: quoted,
  PgDateString: quoted,
  // A line break between the parts of a document means no more than a space, and lists have one between their items.
  PgJson: {
    pieces: (value) => [sql`translate(${value}::text, E'\\n', ' ')`],
    write: (text) => text.replaceAll('\n', ' ')
  },
  PgBoolean: {
    pieces: (value) => [sql`case when ${value} then 'true' else 'false' end`],
    write: (text) => (text === 't' ? 'true' : 'false')
  },
  PgTimestampString: {
    pieces: (value) => ['"', sql`replace(timezone('UTC', ${value})::text, ' ', 'T')`, '+00:00"'],
    write: writeMoment
  }
}

// A quoted element, a brace, or an element without quotes (PostgreSQL, chapter "Arrays").
const IN_ARRAY = /"([^"\\]*(?:\\.[^"\\]*)*)"|[{}]|[^{},"]+/gs

/** Numbers that JSON does not have are texts in an array. */
const writeNumber = (text: string) => (Number.isFinite(Number(text)) ? text : `"${text}"`)

/** Writes the literals of arrays. */
const arraysOf = (writeElement: Writer['write']): Writer => ({
  write: (literal) =>
    // Bounds other than those from 1 stand before the elements.
    literal.slice(literal.indexOf('{')).replace(IN_ARRAY, (token, inQuotes?: string) => {
      if (inQuotes !== undefined) return writeElement(inQuotes.replace(/\\(.)/gs, '$1'))
      if (token === '{') return '['
      if (token === '}') return ']'
      return token === 'NULL' ? 'null' : writeElement(token)
    })
})

const TEXTS = arraysOf(escaped.write)
const NUMBERS = arraysOf(writeNumber)

function writerOf(column: PgColumn): Writer {
  const { columnType, baseColumn } = column as PgColumn & { baseColumn?: PgColumn }
  if (baseColumn !== undefined) return baseColumn.columnType === 'PgText' ? TEXTS : NUMBERS
  const writer = WRITERS[columnType]
  if (writer === undefined) throw new TypeError(`A column of type ${column.getSQLType()} is not written as JSON`)
  return writer
}

/** The most arguments of a function of PostgreSQL. */
const ARGUMENTS_MAX = 100

/** The pieces as one text. Texts side by side become one: each argument costs PostgreSQL 0.1 µs a row. */
function concat(pieces: Piece[]): SQL<string> {
  const merged: Piece[] = []
  for (const piece of pieces) {
    const last = merged.at(-1)
    if (typeof piece === 'string' && typeof last === 'string') merged[merged.length - 1] = last + piece
    else merged.push(piece)
  }
  const written = merged.map((piece) => (typeof piece === 'string' ? sql.raw(`'${piece}'`) : piece))
  let level = written
  while (level.length > ARGUMENTS_MAX) level = chunks(level).map(concatOf)
  return concatOf(level)
}

const concatOf = (texts: SQL[]) => sql<string>`concat(${sql.join(texts, sql`, `)})`

const chunks = <T>(all: T[]) =>
  Array.from({ length: Math.ceil(all.length / ARGUMENTS_MAX) }, (_, i) =>
    all.slice(i * ARGUMENTS_MAX, (i + 1) * ARGUMENTS_MAX)
  )

/** The pieces that write the value of a column as JSON. */
function piecesOf(column: PgColumn, value: SQL): Piece[] {
  const pieces = writerOf(column).pieces?.(value)
  if (column.notNull) return pieces ?? [sql`to_json(${value})`]
  return [
    pieces === undefined
      ? sql`coalesce(to_json(${value})::text, 'null')`
      : sql`case when ${value} is null then 'null' else ${concat(pieces)} end`
  ]
}

/** What stands before the value of a member. */
const startOf = (name: string, i: number) => `${i === 0 ? '{' : ','}"${name}":`

/**
 * A row as the JSON object that the API answers, of these columns under these names. PostgreSQL writes the rows of a
 * page and Node passes them on: parsing a hundred rows and serializing them again costs Node more than that costs
 * PostgreSQL.
 *
 * @param rows the alias of a subselect that has the columns under these names
 */
export function jsonOf(shown: Record<string, PgColumn>, rows: string): SQL<string> {
  const members = Object.entries(shown).flatMap(([name, column], i) => {
    const value = sql`${sql.identifier(rows)}.${sql.identifier(name)}`
    return [startOf(name, i), ...piecesOf(column, value)]
  })
  return concat([...members, '}'])
}

/**
 * Writes a single row as `jsonOf` does, of the texts of its values in the order of `shown`. For one row that is cheaper
 * (docs/performance.md).
 */
export function rowWriter(shown: Record<string, PgColumn>): (texts: readonly (string | null)[]) => string {
  const members = Object.entries(shown).map(([name, column], i) => ({
    start: startOf(name, i),
    write: writerOf(column).write
  }))
  return (texts) => {
    let json = ''
    for (let i = 0; i < members.length; i++) {
      const { start, write } = members[i] as (typeof members)[number]
      const text = texts[i]
      json += start + (typeof text === 'string' ? write(text) : 'null')
    }
    return `${json}}`
  }
}

/** A row as JSON, and what the service itself needs of it. */
export interface JsonRow {
  id: string
  version: number
  json: string
}

/**
 * Returns the fields of a statement that shows the columns `shown` of an `ownedTable`, and a function that makes it
 * return `JsonRow`s. The fields are columns and nothing else: `returning` of a distributed table refuses functions that
 * are not immutable.
 */
export function jsonRows(shown: Record<string, PgColumn>) {
  // A member may have the name of something else that a statement returns, such as `record`.
  const fields = Object.fromEntries(Object.values(shown).map((column, i) => [`column ${i}`, column]))
  const write = rowWriter(shown)
  const names = Object.keys(shown)
  const [id, version] = [names.indexOf('id'), names.indexOf('version')]
  const read = (values: readonly (Buffer | null)[]): JsonRow => {
    const texts = values.map((value) => (value === null ? null : value.toString()))
    return { id: String(texts[id]), version: Number(texts[version]), json: write(texts) }
  }
  const asRows = ({ statement, fields }: Built<unknown>): Built<JsonRow[]> => ({ statement, fields, read })
  return { fields, asRows }
}
