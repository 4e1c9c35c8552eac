// A statement that postgres.js cannot write, for the sake of its parameters, fails the statement in flight instead of
// its own. Later statements get the answers of others.
// Our measure is `isPlain` in src/db/query.ts: no such parameter gets to postgres.js. Without the fault it can go.
import { check, client, outcome } from './kit.ts'
import { serve } from './server.ts'

/** More than the protocol has room for. */
const TOO_MANY = 65_534

await check(async () => {
  const sql = client({ port: await serve(() => ({ rows: ['1'] })) })
  await sql.unsafe('select 1')
  const inFlight = outcome(sql.unsafe('select 2'))
  const bad = outcome(sql.unsafe('select 3', new Array(TOO_MANY).fill('x')))
  return (await inFlight) === 'answered' ? undefined : `the statement in flight: failed; its own: ${await bad}`
})
