import { getTableColumns, sql } from 'drizzle-orm'
import {
  bigint,
  boolean,
  date,
  doublePrecision,
  integer,
  json,
  line,
  numeric,
  type PgColumn,
  PgDialect,
  pgEnum,
  pgTable,
  smallint,
  text,
  uuid,
  varchar
} from 'drizzle-orm/pg-core'
import fc from 'fast-check'
import pino from 'pino'
import t from 'tap'
import { openClient } from '../../../src/db/client.ts'
import { jsonOf, rowWriter } from '../../../src/db/json.ts'
import { dateTime } from '../../../src/db/tables.ts'
import { testConfig } from '../../support/app.ts'
import { samples } from '../../support/samples.ts'

t.test('a row may have more columns than a function has arguments (issue 18)', async (t) => {
  const { db, close } = await openClient((await testConfig()).database, pino({ level: 'silent' }))
  t.teardown(close)
  for (const count of [1, 49, 50, 120]) {
    const names = Array.from({ length: count }, (_, i) => `c${i}`)
    const table = pgTable('wide', Object.fromEntries(names.map((name) => [name, integer(name)])))
    const values = sql.raw(names.map((name, i) => `${i % 3 === 0 ? 'null::int' : i} as ${name}`).join())
    const [row] = await db.execute<{ json: string }>(
      sql`select ${jsonOf(getTableColumns(table), 'rows')} as json from (select ${values}) rows`
    )
    t.same(JSON.parse(String(row?.json)), Object.fromEntries(names.map((name, i) => [name, i % 3 === 0 ? null : i])))
  }
})

t.test('a document has no line break, since pages have one between their items (issue 18)', async (t) => {
  const { db, close } = await openClient((await testConfig()).database, pino({ level: 'silent' }))
  t.teardown(close)
  // Our own statements write none, but a default in SQL or a migration can.
  const written = sql.raw(`select E'{"a":\\n[1,\\n"\\\\\\\\n"]}'::json as settings`)
  for (const column of [json('settings'), json('settings').notNull()]) {
    const table = pgTable('documents', { settings: column })
    const [row] = await db.execute<{ json: string }>(
      sql`select ${jsonOf(getTableColumns(table), 'rows')} as json from (${written}) rows`
    )
    t.equal(row?.json, '{"settings":{"a": [1, "\\\\n"]}}')
  }
})

const LABELS = ['plain', "it's", '"quoted"', 'back\\slash', 'é'] as const
const mood = pgEnum('mood', LABELS)

const pad = (n: number, length: number) => String(n).padStart(length, '0')

/** Dates that PostgreSQL has and JavaScript's own format does not: of any year, and of none. */
const days = fc.oneof(
  fc
    .record({ year: fc.integer({ min: -4000, max: 200_000 }), month: fc.integer({ min: 1, max: 12 }) })
    .map(({ year, month }) => `${pad(Math.abs(year) + 1, 4)}-${pad(month, 2)}-28${year < 0 ? ' BC' : ''}`),
  fc.constantFrom('infinity', '-infinity', '9999-12-31', '10000-01-01', '0001-01-01')
)
const moments = fc.tuple(days, fc.integer({ min: 0, max: 86_399_999_999 })).map(([day, micros]) => {
  if (day.endsWith('infinity')) return day
  const [seconds, fraction] = [Math.floor(micros / 1e6), micros % 1e6]
  const time = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map((n) => pad(Math.floor(n), 2)).join(':')
  const [date, bc = ''] = day.split(' ')
  return `${date} ${time}.${pad(fraction, 6)}+05:30 ${bc}`
})

// Every character but U+0000, which PostgreSQL does not have, and those more often that JSON escapes, or could.
const texts = fc
  .array(
    fc.oneof(
      fc.constantFrom(...'"\\/{},\b\f\n\r\t\u0001\u001f\u007f\u0080\u2028\u2029é🥛'),
      fc.string({ unit: 'binary' })
    )
  )
  .map((parts) => parts.join('').replaceAll('\0', ''))
const doubles = fc
  .oneof(fc.double(), fc.constantFrom(1e21, 1e-7, 1e15, 1e16))
  .map((n) => (Object.is(n, -0) ? '-0' : `${n}`))
const numerals = fc.oneof(
  doubles.filter((text) => !text.endsWith('y')),
  fc.constantFrom('1.50', '-0.00')
)
const integers = (bits: bigint) => fc.bigInt({ min: -(2n ** (bits - 1n)), max: 2n ** (bits - 1n) - 1n }).map(String)
const documents = fc.oneof(
  fc
    .tuple(fc.jsonValue(), fc.constantFrom('', ' ', '\t', '\n'))
    .map(([value, space]) => JSON.stringify(value, null, space)),
  fc.constantFrom('{"a":1,"a": 2}', ' [1 ,2.50]\r\n', '"\\u2028\\/\\n"', '1e308', 'null', '{"\u2028":"\u007f"}')
)

/** Arrays of one dimension or two, with and without bounds of their own, of elements that may be null. */
function arrays(elements: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const one = fc.oneof(
    elements.map((text) => `"${text.replaceAll(/["\\]/g, '\\$&')}"`),
    fc.constantFrom('NULL')
  )
  const list = (length: number) =>
    fc.array(one, { minLength: length, maxLength: length }).map((all) => `{${all.join()}}`)
  return fc.oneof(
    fc.integer({ min: 0, max: 4 }).chain(list),
    list(2).map((row) => `[0:1]=${row}`),
    fc.tuple(list(2), list(2)).map((rows) => `{${rows.join()}}`)
  )
}

/** Texts from which PostgreSQL makes the values of a column, for each type of column that a member can have. */
const TYPES = [
  { column: () => text(), texts },
  { column: () => varchar({ length: 10_000 }), texts },
  { column: () => mood(), texts: fc.constantFrom(...LABELS) },
  { column: () => boolean(), texts: fc.constantFrom('true', 'false') },
  { column: () => smallint(), texts: integers(16n) },
  { column: () => integer(), texts: integers(32n) },
  { column: () => bigint({ mode: 'number' }), texts: integers(64n) },
  { column: () => doublePrecision(), texts: doubles },
  { column: () => numeric(), texts: numerals },
  { column: () => date({ mode: 'string' }), texts: days },
  { column: () => dateTime(''), texts: moments },
  { column: () => uuid(), texts: fc.uuid() },
  { column: () => json(), texts: documents },
  { column: () => text().array(), texts: arrays(texts) },
  { column: () => smallint().array(), texts: arrays(integers(16n)) },
  { column: () => integer().array(), texts: arrays(integers(32n)) },
  { column: () => bigint({ mode: 'number' }).array(), texts: arrays(integers(64n)) },
  { column: () => doublePrecision().array(), texts: arrays(doubles) }
]

const typeOf = ({ columnType, ...column }: PgColumn) =>
  'baseColumn' in column ? `${columnType} of ${(column.baseColumn as PgColumn).columnType}` : columnType

t.test('PostgreSQL and Node write the same JSON of a row, whatever is in it (issue 19)', async (t) => {
  const { db, sql: client, close } = await openClient((await testConfig()).database, pino({ level: 'silent' }))
  t.teardown(close)
  await db.execute(sql.raw(`create type mood as enum (${LABELS.map((one) => `'${one.replace("'", "''")}'`).join()})`))
  const nullable = getTableColumns(
    pgTable('rows', Object.fromEntries(TYPES.map(({ column }, i) => [`n${i}`, column()])))
  )
  const given = Object.fromEntries(TYPES.map(({ column }, i) => [`g${i}`, column().notNull()]))
  const shown = { ...nullable, ...getTableColumns(pgTable('rows', given)) }
  const types = new Set(Object.values(shown).map(typeOf))
  for (const column of Object.values(getTableColumns(samples))) {
    if (column !== samples.userId) t.ok(types.has(typeOf(column)), `${column.name} is of a type that is compared`)
  }

  const values = Object.entries(shown).map(
    ([name, column]) => sql`${sql.placeholder(name)}::text::${sql.raw(column.getSQLType())} as ${sql.identifier(name)}`
  )
  const select = sql`select ${jsonOf(shown, 'rows')}, rows.* from (select ${sql.join(values, sql`, `)}) rows`
  const { sql: statement } = new PgDialect().sqlToQuery(select)
  const write = rowWriter(shown)
  const rows = fc.tuple(...TYPES.map(({ texts }) => fc.option(texts)), ...TYPES.map(({ texts }) => texts))
  await fc.assert(
    fc.asyncProperty(rows, async (parameters) => {
      const [row = []] = await client.unsafe(statement, [...parameters]).raw()
      const [expected, ...texts] = row.map((value) => (value === null ? null : String(value)))
      return write(texts) === expected
    }),
    { numRuns: 300, seed: 20_261_129 }
  )
})

t.test('a column that no member can have is not written', async (t) => {
  const { at } = getTableColumns(pgTable('lines', { at: line() }))
  t.throws(() => rowWriter({ at }), { message: 'A column of type line is not written as JSON' })
  t.throws(() => jsonOf({ at }, 'rows'), { message: 'A column of type line is not written as JSON' })
})
