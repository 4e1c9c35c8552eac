import { and, eq, getTableColumns, getTableName, type SQL, sql } from 'drizzle-orm'
import { type PgColumn, PgDialect, type PgTable } from 'drizzle-orm/pg-core'
import type { BuildOptions } from './prepare.ts'
import { NAMED_OWNER, OWNER_IS_NAMED } from './row-security.ts'
import { type Built, type Fields, OWNER } from './statement.ts'
import { MAX, rowCounts } from './system-tables.ts'

const dialect = new PgDialect()

/**
 * An insert that counts its row, and returns nothing when the owner has all the rows that they may have. The count is
 * part of the statement: of two that insert at once, the second waits for the row of `row_counts`, and then counts the
 * first.
 *
 * Citus allows no such statement. In the form for it the statement does nothing, so that the row is counted in a
 * transaction (`src/resource/row-count.ts`).
 *
 * @param row the values of the columns but the owner. In a select their types are not known, so each has a cast.
 * @param how `unless there`: it does nothing when there is a row of this id
 */
export function insertIfRoom(
  table: PgTable & { userId: PgColumn; id: PgColumn },
  row: Record<string, SQL>,
  how: 'or fail' | 'unless there',
  { namesOwner, recordsChanges }: BuildOptions
) {
  const owner = sql.placeholder(OWNER)
  const { userId, resource, atMost } = rowCounts
  const counted = and(
    eq(userId, owner),
    ...(namesOwner ? [sql`(${OWNER_IS_NAMED})`] : []),
    sql`(${resource} = ${sql.raw(`'${getTableName(table)}'`)})`,
    sql`(${atMost} < ${sql.placeholder(MAX)})`
  )
  const room = sql`update ${rowCounts} set ${sql.identifier(atMost.name)} = ${atMost} + 1 where ${counted} returning 1`
  const columns = getTableColumns(table) as Record<string, PgColumn>
  const names = [userId, ...Object.keys(row).map((name) => columns[name] as PgColumn)].map(({ name }) =>
    sql.identifier(name)
  )
  const values = [namesOwner ? NAMED_OWNER : sql`${owner}`, ...Object.values(row)]
  const conflict = how === 'or fail' ? sql`` : sql` on conflict ("user_id", "id") do nothing`
  const [into, selected] = [names, values].map((some) => sql.join(some, sql`, `))
  const insert = sql`with room as (${room}) insert into ${table} (${into}) select ${selected} from room${conflict}`
  const none = (fields: Fields) =>
    sql`select ${listOf(fields)} from ${table} where (${eq(table.userId, owner)} and (false))`
  return {
    returning: (fields: Fields): Built<unknown>['statement'] => ({
      toSQL: () => dialect.sqlToQuery(recordsChanges ? sql`${insert} returning ${listOf(fields)}` : none(fields))
    })
  }
}

const listOf = (fields: Fields) =>
  sql.join(
    Object.values(fields).map((field) => sql`${field}`),
    sql`, `
  )
