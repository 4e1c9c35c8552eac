// postgres.js does not reset its counter of rows when a statement fails after its first rows. The next result begins
// with as many holes.
// Our measure is `withoutHoles` in src/db/query.ts. Without the fault it can go.
import { check, client } from './kit.ts'
import { serve } from './server.ts'

await check(async () => {
  const port = await serve((text) => (text === 'select 1' ? { rows: ['1'] } : { rows: ['1', '2'], error: 'late' }))
  const sql = client({ port })
  await sql.unsafe('select late').catch(() => {})
  const { length } = await sql.unsafe('select 1')
  return length === 1 ? undefined : `a result of 1 row has ${length - 1} holes`
})
