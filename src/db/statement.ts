import { is, Param, Placeholder, type SQL } from 'drizzle-orm'
import { PgColumn, PgSelectBase } from 'drizzle-orm/pg-core'
import { drizzle } from 'drizzle-orm/postgres-js'
import type { Owner } from '../auth/user.ts'

/** Builds statements, and sends none. */
export const BUILDER = drizzle.mock()

/** The placeholder of the owner that a statement runs for. */
export const OWNER = 'owner'

/** What a statement shows of its rows, in this order. */
export type Fields = Record<string, PgColumn | SQL | SQL.Aliased>

/** A statement that Drizzle built, and what it shows: rows of `R`. */
export interface Built<R> {
  statement: { toSQL(): { sql: string; params: unknown[] } }
  fields: Fields
  /** Values come as the bytes of their text, for what is passed on and not read: each field is `sql<Buffer>`. */
  bytes?: R extends Record<string, Buffer | null>[] ? boolean : false
  /**
   * Whether its cost grows with the rows that its owner has. Such statements have connections of their own
   * (`src/db/pool.ts`).
   */
  scan?: boolean
  /** Makes a row of the bytes of the text of its values, which are in the order of `fields`. */
  read?: (values: readonly (Buffer | null)[]) => unknown
  /** Never there: it brings the type along. */
  rows?: R
}

/** A statement to be sent as often as it takes. */
export interface Statement<R> {
  text: string
  /** Whether it only reads: a `select`, which has no side effect unless it calls a function with one. */
  read: boolean
  /** Whether its cost grows with the rows that its owner has. */
  scan: boolean
  /** Whether values come as bytes. */
  bytes: boolean
  /**
   * Its parameters, anew each time since the driver writes into them.
   *
   * @param values of its placeholders but `OWNER`, which is the owner whatever they say
   * @throws for a parameter without a value: the driver would send the text `undefined`
   */
  parameters(owner: Owner, values: Record<string, unknown>): unknown[]
  /** Its rows, of those that the driver got. */
  rows(raw: unknown[][]): R
}

type Source = (owner: Owner, values: Record<string, unknown>) => unknown

/** Where the value of a parameter comes from. */
function sourceOf(parameter: unknown): Source {
  if (is(parameter, Placeholder)) {
    const { name } = parameter
    if (name === OWNER) return (owner) => owner
    // Not one that every object inherits, such as `constructor`.
    return (_owner, values) => (Object.hasOwn(values, name) ? values[name] : undefined)
  }
  if (is(parameter, Param) && is(parameter.value, Placeholder)) {
    const { encoder } = parameter
    const inner = sourceOf(parameter.value)
    return (owner, values) => {
      const value = inner(owner, values)
      // Some encoders would make something of it, and others fail in their own words.
      return value === undefined ? undefined : encoder.mapToDriverValue(value)
    }
  }
  return () => parameter
}

/** What an error calls a parameter: its placeholder, if it has one. */
function nameOf(parameter: unknown): string {
  if (is(parameter, Param)) return nameOf(parameter.value)
  return is(parameter, Placeholder) ? `The placeholder "${parameter.name}"` : 'A value in the condition or the row'
}

/**
 * Puts a statement's text together, once. (Measured: for each run Drizzle's own prepared statements cost 5 to 10 % of a
 * request: spans, a cache and a logger that are not there, and a search through each value's classes.)
 */
export function compile<R>({ statement, fields, bytes, read, scan }: Built<R>): Statement<R> {
  const { sql: text, params } = statement.toSQL()
  const sources = params.map(sourceOf)
  const columns = Object.entries(fields).map(([name, field]) => ({
    name,
    decode: is(field, PgColumn) ? (value: unknown) => field.mapFromDriverValue(value) : undefined
  }))
  const row = (raw: unknown[]) => {
    const object: Record<string, unknown> = {}
    for (let i = 0; i < columns.length; i++) {
      const { name, decode } = columns[i] as (typeof columns)[number]
      object[name] = decode === undefined || raw[i] === null ? raw[i] : decode(raw[i])
    }
    return object
  }
  return {
    text,
    read: is(statement, PgSelectBase),
    scan: scan === true,
    bytes: bytes === true || read !== undefined,
    parameters: (owner, values) =>
      sources.map((source, i) => {
        const value = source(owner, values)
        if (value === undefined) throw new TypeError(`${nameOf(params[i])} has no value`)
        return value
      }),
    rows: (raw) => (read === undefined ? raw.map(row) : raw.map((values) => read(values as Buffer[]))) as R
  }
}
