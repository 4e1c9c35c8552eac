import { getTableName, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { Reference } from '../db/reference.ts'
import { isDate, isDateTime, isText, toUtc } from '../http/formats.ts'
import { UUID_PATTERN } from '../http/uuid.ts'
import type { Kind, SortKey } from './kind.ts'
import { pluralOf } from './words.ts'

/** The most characters of a text by which a list is sorted. A cursor has them, and its URL must stay short. */
export const SORT_CHARACTERS = 200

const INT4 = { minimum: -(2 ** 31), maximum: 2 ** 31 - 1 }
const SAFE = { minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }
const isUuid = new RegExp(UUID_PATTERN)
const same = (value: unknown) => value

// Doubles hold every integer of the safe range, and have infinities.
const asDouble = (cast: string, accepts: (value: number) => boolean): SortKey => ({
  of: (value) => sql`${value}::${sql.raw(cast)}::float8`,
  infinite: 'float8',
  // Written again it is the same: PostgreSQL refuses some text that JavaScript reads as a number.
  accepts: (text) => String(Number(text)) === text && accepts(Number(text))
})

const text: Kind = {
  name: 'text',
  cast: 'text',
  schema: { type: 'string', format: 'text' },
  bounds: ['maxLength'],
  encode: same,
  sized: true,
  // The "C" collation is the same on every server.
  sort: { of: (value) => sql`lower(${value}::text collate "C")`, accepts: isText }
}

/** A text of one of these labels, or at most as long as its column. */
const textOf = ({ enumValues, length }: PgColumn & { length?: number | undefined }): Kind => {
  if (enumValues?.length) return { ...text, schema: { type: 'string', enum: enumValues } }
  return length === undefined ? text : { ...text, schema: { ...text.schema, maxLength: length }, bounds: [] }
}

const integer = (cast: string, range: typeof INT4): Kind => ({
  name: 'integer',
  cast,
  schema: { type: 'integer', ...range },
  bounds: [],
  encode: same,
  ordered: true,
  sort: asDouble(cast, (value) => Number.isInteger(value) && value >= range.minimum && value <= range.maximum)
})

const double: Kind = {
  name: 'number',
  cast: 'float8',
  schema: { type: 'number' },
  bounds: [],
  encode: same,
  ordered: true,
  sort: asDouble('float8', Number.isFinite)
}

/** The text of decimal numbers as PostgreSQL writes them, so that each is answered as it was sent. */
function numeric({ precision, scale = 0 }: PgColumn & { precision?: number; scale?: number }): Kind | string {
  if (precision !== undefined && (scale < 0 || scale > precision)) {
    return 'its scale must be from 0 to its precision'
  }
  // A column without a precision keeps the digits that it is given.
  const whole = precision === undefined ? '\\d*' : `\\d{0,${Math.max(precision - scale - 1, 0)}}`
  const fraction = precision === undefined ? '(?:\\.\\d+)?' : scale > 0 ? `\\.\\d{${scale}}` : ''
  const first = precision !== undefined && precision === scale ? '0' : `(?:0|[1-9]${whole})`
  const pattern = `^(?!-0(?:\\.0*)?$)-?${first}${fraction}$`
  const sort: SortKey = {
    of: (value) => sql`${value}::numeric`,
    infinite: 'numeric',
    accepts: (text) => /^-?\d{1,1000}(?:\.\d{1,1000})?$/.test(text)
  }
  return {
    name: 'numeric',
    cast: 'numeric',
    schema: { type: 'string', pattern, ...(precision === undefined && { maxLength: 1000 }) },
    bounds: precision === undefined ? ['maxLength'] : [],
    encode: same,
    sized: true,
    ordered: true,
    // A sign, and a zero with a point before the digits.
    sort: precision === undefined ? sort : { ...sort, characters: precision + 3 }
  }
}

const moment: Kind = {
  name: 'date-time',
  cast: 'timestamptz',
  schema: { type: 'string', format: 'date-time' },
  bounds: [],
  encode: (value) => toUtc(value as string),
  ordered: true,
  sort: {
    of: (value) => sql`${value}::timestamptz`,
    infinite: 'timestamptz',
    accepts: isDateTime
  }
}

const uuid: Kind = {
  name: 'uuid',
  cast: 'uuid',
  schema: { type: 'string', pattern: UUID_PATTERN },
  bounds: [],
  encode: same,
  sort: {
    of: (value) => sql`${value}::uuid::text collate "C"`,
    accepts: (text) => isUuid.test(text)
  }
}

const referenceTo = ({ target }: Reference): Kind => {
  const description = `The id of one of your ${pluralOf(getTableName(target()))}`
  return { ...uuid, name: 'reference', schema: { ...uuid.schema, description } }
}

const enumeration = (cast: string, labels: readonly string[]): Kind => ({
  name: 'enum',
  cast,
  schema: { type: 'string', enum: [...labels] },
  bounds: [],
  encode: same,
  sort: {
    // In the order in which the labels are declared.
    of: (value) => sql`array_position(enum_range(null::${sql.raw(cast)}), ${value}::${sql.raw(cast)})::float8`,
    infinite: 'float8',
    accepts: (text) => labels.includes(text)
  }
})

/** The literal of an array (PostgreSQL, chapter "Arrays"): the driver knows no array types. */
export const arrayLiteral = (values: readonly unknown[]) =>
  `{${values.map((value) => `"${String(value).replaceAll(/["\\]/g, '\\$&')}"`).join()}}`

const arrayOf = (element: Kind): Kind => ({
  name: 'array',
  cast: `${element.cast}[]`,
  schema: { type: 'array' },
  bounds: ['maxItems'],
  encode: (value) => arrayLiteral((value as unknown[]).map(element.encode)),
  sized: true,
  element
})

const TIMESTAMP = 'use dateTime(): another timestamp has no time zone, or rounds what it is given'

/** The kind of a column by its Drizzle type, or why it cannot be a member. */
const KINDS: Record<string, (column: PgColumn) => Kind | string> = {
  PgText: textOf,
  PgVarchar: textOf,
  PgBoolean: () => ({
    name: 'boolean',
    cast: 'boolean',
    schema: { type: 'boolean' },
    bounds: [],
    encode: same,
    // By its text, because the driver writes the text `true` of a cursor as false for a parameter of type boolean.
    sort: { ...asDouble('text::boolean::int', Number.isNaN), accepts: (text) => text === 'true' || text === 'false' }
  }),
  PgSmallInt: () => integer('smallint', { minimum: -(2 ** 15), maximum: 2 ** 15 - 1 }),
  PgInteger: () => integer('integer', INT4),
  PgBigInt53: () => integer('bigint', SAFE),
  PgDoublePrecision: () => double,
  PgNumeric: numeric,
  PgDateString: () => ({
    name: 'date',
    cast: 'date',
    schema: { type: 'string', format: 'date' },
    bounds: [],
    encode: same,
    ordered: true,
    sort: { of: (value) => sql`${value}::date`, infinite: 'date', accepts: isDate }
  }),
  PgTimestampString: (column) => (column.getSQLType() === 'timestamp with time zone' ? moment : TIMESTAMP),
  PgUUID: (column) => (column instanceof Reference ? referenceTo(column) : uuid),
  PgEnumColumn(column) {
    const { schema } = (column as PgColumn & { enum: { schema?: string } }).enum
    if (schema !== undefined) return `its enum is in the schema ${schema}`
    return enumeration(`"${column.getSQLType()}"`, column.enumValues as string[])
  },
  PgArray(column) {
    const { baseColumn } = column as PgColumn & { baseColumn: PgColumn }
    if (!ELEMENTS.has(baseColumn.columnType)) return 'an array is of texts or numbers'
    return arrayOf((KINDS[baseColumn.columnType] as (column: PgColumn) => Kind)(baseColumn))
  },
  PgJson: () => ({
    name: 'document',
    // As text, or the driver would serialize it once more.
    cast: 'text::json',
    schema: {},
    bounds: ['maxBytes', 'maxDepth'],
    encode: (value) => JSON.stringify(value),
    sized: true
  })
}

/** Why a column cannot be a member, of types that come near. */
const INSTEAD: Record<string, string> = {
  PgJsonb: 'use json(): jsonb writes a number such as 1e308 with 309 digits, so no bound on its size holds',
  PgBigInt64: "use bigint(name, { mode: 'number' })",
  PgReal: 'use doublePrecision(): real rounds what it is given',
  PgNumericNumber: 'use numeric() without a mode',
  PgNumericBigInt: 'use numeric() without a mode',
  PgDate: "use date(name, { mode: 'string' })",
  PgTimestamp: TIMESTAMP,
  PgChar: 'use varchar(): char fills up what it is given'
}

const ELEMENTS = new Set(['PgText', 'PgSmallInt', 'PgInteger', 'PgBigInt53', 'PgDoublePrecision'])

/** The kind of a column, or why it cannot be a member, in words that follow its name. */
export function kindOf(column: PgColumn): Kind | string {
  const { columnType, generated, generatedIdentity } = column
  if (generated !== undefined || generatedIdentity !== undefined) return 'has a column that PostgreSQL generates'
  const why = `cannot have a column of type ${column.getSQLType()}`
  const kind = KINDS[columnType]?.(column) ?? INSTEAD[columnType] ?? 'no member can'
  return typeof kind === 'string' ? `${why}: ${kind}` : kind
}
