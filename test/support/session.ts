import { type SQL, sql } from 'drizzle-orm'
import { PgDialect } from 'drizzle-orm/pg-core'
import type { FastifyBaseLogger } from 'fastify'
import pino from 'pino'
import type { Test } from 'tap'
import type { Owner } from '../../src/auth/user.ts'
import { type Database, openDatabase } from '../../src/db/open.ts'
import { ownedBy } from '../../src/db/owned.ts'
import { testConfig } from './app.ts'
import { taskStore } from './tasks.ts'

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

/** Opens a database with the store of tasks and `sessionOf` it, and closes it at the end of `t` at the latest. */
export async function openSession(
  t: Test,
  env: Record<string, string> = {},
  log: FastifyBaseLogger = pino({ level: 'silent' })
) {
  const database = await openDatabase((await testConfig(env)).database, log)
  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= database.close()
    return closed
  }
  t.teardown(close)
  return { ...database, ...sessionOf(database), close, store: taskStore((table) => ownedBy(database.prepare, table)) }
}
