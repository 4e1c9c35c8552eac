import { type SQL, sql } from 'drizzle-orm'
import { PgDialect } from 'drizzle-orm/pg-core'
import type { Owner } from '../../src/auth/user.ts'
import type { Database } from '../../src/db/open.ts'

/** The most columns that a statement of a test answers. */
const COLUMNS = 10
const fields = Object.fromEntries(Array.from({ length: COLUMNS }, (_, i) => [`column${i}`, sql`null`]))

/**
 * Sends statements that a test writes itself, on the connection of a pool of one. The embedded engine has one session,
 * so nothing else could send them. They resolve with the values of each row, in order.
 */
export function sessionOf({ prepare }: Pick<Database, 'prepare'>) {
  const send = async (text: string, parameters: unknown[] = []): Promise<unknown[][]> => {
    const run = prepare(() => ({ statement: { toSQL: () => ({ sql: text, params: parameters }) }, fields }))
    const rows = (await run('nobody' as Owner)) as object[]
    return rows.map((row) => Object.values(row).filter((value) => value !== undefined))
  }
  return {
    send,
    execute(query: SQL) {
      const { sql, params } = new PgDialect().sqlToQuery(query)
      return send(sql, params)
    }
  }
}
