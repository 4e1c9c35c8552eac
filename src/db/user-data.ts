import { getTableName, is } from 'drizzle-orm'
import { type PgColumn, PgTable } from 'drizzle-orm/pg-core'
import type { Owner } from '../auth/user.ts'
import type { Connection } from './connect.ts'
import * as schema from './schema.ts'

const RECORDS: unknown[] = [schema.feeds, schema.changes]

/**
 * Every table whose rows belong to users: what `src/db/schema.ts` exports, so that a new resource is here by being
 * there. In the order that a write takes its locks in: the row, the feed, the change; a purge in another one would end
 * in a deadlock with it.
 */
export const ownedTables = [
  ...Object.values<unknown>(schema).filter((one) => !RECORDS.includes(one)),
  ...RECORDS
].filter((one): one is PgTable & { userId: PgColumn } => is(one, PgTable) && 'userId' in one)

/** Rows that are fetched, and written, at once. */
const BATCH = 500

/** Does `work` for each owned table in one transaction, in which `owner` is named to the policies. */
async function eachTable(
  { db, readinessProblem }: Connection,
  owner: Owner,
  isolation: string,
  work: (client: TransactionClient, table: string, userId: string) => Promise<void>
): Promise<void> {
  // A later schema may have tables that this version does not know.
  const problem = await readinessProblem(ownedTables.map(getTableName))
  if (problem !== undefined) throw new Error(problem)
  await db.$client.begin(isolation, async (client) => {
    await client`select set_config('rowkeeper.owner', ${owner}, true)`
    for (const table of ownedTables) await work(client, getTableName(table), table.userId.name)
  })
}

type TransactionClient = Parameters<Parameters<Connection['db']['$client']['begin']>[1]>[0]

/**
 * Writes all that `owner` owns, as of one moment, a JSON object a line: `{"table":"tasks","row":{…}}`, with the columns
 * as they are stored. Rows are fetched as they are written, so any number fits.
 */
export const exportUser = (connection: Connection, owner: Owner, write: (lines: string) => Promise<void>) =>
  eachTable(connection, owner, 'isolation level repeatable read read only', async (client, table, userId) => {
    const rows = client<{ line: string }[]>`
      select json_build_object('table', ${table}::text, 'row', row_to_json(owned))::text as line
      from ${client(table)} owned where ${client(userId)} = ${owner}`
    await rows.cursor(BATCH, (batch) => write(batch.map(({ line }) => `${line}\n`).join('')))
  })

/** Deletes all that `owner` owns, or nothing when that fails. Resolves with the number of rows of each table. */
export async function purgeUser(connection: Connection, owner: Owner): Promise<Record<string, number>> {
  const deleted: Record<string, number> = {}
  await eachTable(connection, owner, '', async (client, table, userId) => {
    const { count } = await client`delete from ${client(table)} where ${client(userId)} = ${owner}`
    deleted[table] = count
  })
  return deleted
}
