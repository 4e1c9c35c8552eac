import type { SQL } from 'drizzle-orm'

/** Keywords of a JSON Schema. */
export type Keywords = Record<string, unknown>

/** How the values of a kind are sorted. */
export interface SortKey {
  /** What a list is sorted by, for a column and for the value in a cursor alike. */
  of(value: SQL): SQL
  /** The SQL type of `of`, if that type has an infinity, which then stands for null. */
  infinite?: string
  /** Whether PostgreSQL accepts the text of a cursor as a value. */
  accepts(text: string): boolean
  /** The most characters of a value, if the schema of its kind does not say it and it is no word. */
  characters?: number
}

/** A kind of values: the columns of one type, and the JSON that they hold without a loss. */
export interface Kind {
  /** The name of the kind, for messages. */
  name: string
  /** The SQL type to which a parameter is cast. */
  cast: string
  /** The JSON Schema of every value that the column can hold. A member's own schema narrows it. */
  schema: Keywords
  /** The keywords that a member's schema must have, because the column has no bound of its own. */
  bounds: readonly string[]
  /** Makes the parameter of a statement from a value that fits the schema. */
  encode(value: unknown): unknown
  /** Whether the sizes of its values differ much, so that they are counted against the storage quota. */
  sized?: boolean
  /** Whether `before`, `after`, `atLeast` and `atMost` compare it. */
  ordered?: boolean
  /** How it is sorted. Undefined for a kind that no list can be sorted by. */
  sort?: SortKey
  /** The kind of the elements of an array. */
  element?: Kind
}
