import { getTableName } from 'drizzle-orm'
import type { Owner } from '../auth/user.ts'
import type { Client } from './client.ts'
import { deletionOrder, insertionOrder } from './constraints.ts'
import type { OwnedTable } from './owned.ts'

/** Rows that are fetched, and written, at once. */
const BATCH = 500

/** Does `work` for each owned table in one transaction, in which `owner` is named to the policies. */
async function eachTable(
  { sql, readinessProblem, nameOwner }: Client,
  owner: Owner,
  tables: OwnedTable[],
  isolation: string,
  work: (client: TransactionClient, table: string, userId: string) => Promise<void>
): Promise<void> {
  // A later schema may have tables that this version does not know.
  const problem = await readinessProblem(tables.map(getTableName))
  if (problem !== undefined) throw new Error(problem)
  await sql.begin(isolation, async (client) => {
    await client.unsafe(`select ${nameOwner()}`, [owner])
    for (const table of tables) await work(client, getTableName(table), table.userId.name)
  })
}

type TransactionClient = Parameters<Parameters<Client['sql']['begin']>[1]>[0]

/**
 * Writes all that `owner` owns, as of one moment, a JSON object a line: `{"table":"tasks","row":{…}}`, with the columns
 * as they are stored. Rows are fetched as they are written, so any number fits. A table comes after those that it
 * refers to, so that the tables can be filled in this order. Rows of one table may refer to each other in any
 * order. One insert for all of them takes that, since PostgreSQL checks references at its end.
 */
export const exportUser = (
  client: Client,
  owner: Owner,
  tables: OwnedTable[],
  write: (lines: string) => Promise<void>
) =>
  eachTable(
    client,
    owner,
    insertionOrder(tables),
    'isolation level repeatable read read only',
    async (client, table, userId) => {
      const rows = client<{ line: string }[]>`
      select json_build_object('table', ${table}::text, 'row', row_to_json(owned))::text as line
      from ${client(table)} owned where ${client(userId)} = ${owner}`
      await rows.cursor(BATCH, (batch) => write(batch.map(({ line }) => `${line}\n`).join('')))
    }
  )

/** Deletes all that `owner` owns, or nothing when that fails. Resolves with the number of rows of each table. */
export async function purgeUser(client: Client, owner: Owner, tables: OwnedTable[]): Promise<Record<string, number>> {
  const deleted: Record<string, number> = {}
  await eachTable(client, owner, deletionOrder(tables), '', async (client, table, userId) => {
    const { count } = await client`delete from ${client(table)} where ${client(userId)} = ${owner}`
    deleted[table] = count
  })
  return deleted
}
