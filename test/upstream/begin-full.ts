// `begin` of postgres.js has no connection when as many statements are in flight as its pipeline holds (100). It throws
// where nobody can catch the error, and the process ends.
// Our measure is `transaction` in src/db/connection.ts, which sends `begin` and `commit` itself. Without this fault and
// that of begin-lost.ts `sql.begin` can take its place.
import { check, client, outcomeOrCrash } from './kit.ts'
import { serve } from './server.ts'

await check(async () => {
  const sql = client({ port: await serve(() => ({ rows: ['1'] })) })
  for (let others = 95; others <= 105; others++) {
    await sql.unsafe('select 1')
    for (let n = 0; n < others; n++) sql.unsafe('select 1').execute()
    const ended = await outcomeOrCrash(sql.begin((inside) => inside`select 2`))
    if (ended !== 'answered') return `with ${others} statements in flight: ${ended}`
  }
  return undefined
})
