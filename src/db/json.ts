import { type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'

/**
 * A row as the JSON object that the API answers, of these columns under these names. PostgreSQL writes it and Node passes it
 * on: parsing rows into objects and serialising them again costs Node more than that costs PostgreSQL.
 */
export function jsonOf(shown: Record<string, PgColumn>): SQL<string> {
  const fields = Object.entries(shown).map(([name, column]) => sql`${column} as ${sql.identifier(name)}`)
  return sql<string>`(select row_to_json(shown)::text from (select ${sql.join(fields, sql`, `)}) shown)`
}

/**
 * The new value of a column in a partial update: that of the placeholder with the column's name if `<name>_set` is true, or
 * what it is. So one statement is prepared once, whatever members an update has.
 *
 * @param type of the value, in SQL
 */
export function unlessAbsent(column: PgColumn, type: string): SQL {
  const set = sql.placeholder(`${column.name}_set`)
  return sql`case when ${set}::boolean then ${sql.placeholder(column.name)}::${sql.raw(type)} else ${column} end`
}
