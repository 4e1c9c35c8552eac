// The `connect_timeout` of postgres.js ends when the server lets it in. A pooler does that before it has a connection
// itself, so the first statement waits without a limit.
// Our measure is the timer of src/db/session.ts, which ends with the answer to an empty statement. Without the fault
// the driver's own can take its place.
import { check, client, outcome } from './kit.ts'
import { serve } from './server.ts'

await check(async () => {
  const sql = client({ port: await serve(() => undefined), connect_timeout: 1 })
  const ended = await outcome(sql.unsafe('select 1'), 2500)
  return ended === 'failed' ? undefined : 'no error 2.5 s after a connection with connect_timeout 1'
})
