// postgres.js sends a statement whose plan went stale (a migration changed a type of it) once more, behind the
// statements that it sent meanwhile. A write leaves its transaction, and later answers go to the wrong statements.
// Our measure is the setter `retried` of `Query` in src/db/query.ts: the statement fails, and src/db/pool.ts sends
// it again. Without the fault the setter can go.
import { PGlite } from '@electric-sql/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'
import { freePort } from '../support/free-port.ts'
import { check, client } from './kit.ts'

await check(async () => {
  const port = await freePort()
  await new PGLiteSocketServer({ db: await PGlite.create(), port, maxConnections: 1 }).start()
  const sql = client({ port })
  await sql.unsafe('create table t (id int, v int); insert into t values (1, 1)')

  const write = () => sql`insert into t values (2, null) returning v`
  await write()
  await sql.unsafe("alter table t alter v type text using 'own'")
  // What failed in a transaction undoes all of it.
  await Promise.allSettled([sql`begin`, write(), sql`commit`])
  const [count] = await sql`select count(*)::int as n from t where id = 2`
  const outside = count?.n !== 1

  const own = () => sql`select v from t where id = ${1}`
  await own()
  await sql.unsafe('alter table t alter v type int using 1')
  // A statement with values waits for their types when it is sent again. `third` is sent meanwhile.
  const others = sql`select 'second' as v`.then(() => sql`select 'third' as v`)
  others.catch(() => {})
  const [row] = await own().catch(() => [])
  const mixedUp = row !== undefined && row.v !== 1

  if (!outside && !mixedUp) return undefined
  return `a write leaves its transaction: ${outside}. A statement gets the row of another: ${mixedUp}`
})
