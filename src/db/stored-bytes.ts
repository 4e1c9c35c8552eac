import { getTableColumns, type SQL, sql } from 'drizzle-orm'
import type { PgTable } from 'drizzle-orm/pg-core'

/** What PostgreSQL takes for a row besides its columns: its header, and its pointer in the page. */
const ROW_BYTES = 28

/** The bytes that a row of `table` takes, large values compressed as they are stored; none of them is read for that. */
export function storedBytes(table: PgTable): SQL {
  const sizes = Object.values(getTableColumns(table)).map((column) => sql`coalesce(pg_column_size(${column}), 0)`)
  return sql`${sql.raw(String(ROW_BYTES))} + ${sql.join(sizes, sql` + `)}`
}
