import { getTableName, is, type SQL, sql } from 'drizzle-orm'
import { getTableConfig, PgDialect, PgTable } from 'drizzle-orm/pg-core'
import type { FastifyBaseLogger } from 'fastify'
import { codeOf } from './errors.ts'
import type { Send } from './send.ts'
import { storedBytes } from './stored-bytes.ts'
import * as systemTables from './system-tables.ts'

/**
 * The most that one statement deletes: it is done in a fraction of its timeout, also when the rows are large and so
 * their chunks many.
 */
const PORTION = sql.raw('1000')
const PORTION_BYTES = sql.raw(String(16 * 2 ** 20))

/** The most statements of one run for a table: it ends when others add expired rows as fast as they are deleted. */
const MAX_PORTIONS = 1000

/** The statement that deletes some expired rows of a table. Rows that another instance has locked are skipped. */
function portionOf(table: PgTable, over: SQL): SQL {
  const expired = sql`${table} where ${over}`
  const bytes = storedBytes(table)
  const locked = sql`select ctid, ${bytes} as bytes from ${expired} limit ${PORTION} for update skip locked`
  const summed = sql`select ctid, sum(bytes) over (rows unbounded preceding) - bytes as before from (${locked}) locked`
  const first = sql`select ctid from (${summed}) summed where before < ${PORTION_BYTES}`
  return sql`delete from ${expired} and ctid = any(array(${first})) returning 1`
}

/** The expired rows of the service's own tables: those that retention policies let anyone delete (`tables.ts`). */
const PORTIONS = Object.values<unknown>(systemTables)
  .filter((one) => is(one, PgTable))
  .flatMap((table) => {
    const name = getTableName(table)
    const over = getTableConfig(table).policies.find((policy) => policy.name === `${name}_swept`)?.using
    if (over === undefined) return []
    const textOf = (statement: SQL) => new PgDialect().sqlToQuery(statement).sql
    return [{ name, portion: textOf(portionOf(table, over)), all: textOf(sql`delete from ${table} where ${over}`) }]
  })

/**
 * Deletes the rows whose time is over, whosever they are, in portions until none is left. Each table is on its own:
 * what fails is logged, and tried again the next time. Several instances may do it at once.
 *
 * @param distributed whether Citus distributes the tables. It knows no portions across shards, so it gets one statement
 */
export async function deleteExpired(send: Send, log: FastifyBaseLogger, distributed = false): Promise<void> {
  for (const { name, portion, all } of PORTIONS) {
    try {
      if (distributed) await send(all)
      else for (let n = 0; n < MAX_PORTIONS; n++) if ((await send(portion)).length === 0) break
    } catch (error) {
      log.warn({ table: name, code: codeOf(error) }, 'expired rows were not deleted')
    }
  }
}
