// With several hosts postgres.js does not report that a connection failed: it counts no attempts, and so always expects
// another host. When none is there a statement never fails.
// Our measure is that each `Connection` of src/db/connection.ts has one host, and the next one takes the next. Without
// the fault a client can have all hosts.
import { freePort } from '../support/free-port.ts'
import { check, client, outcome } from './kit.ts'

await check(async () => {
  // Nobody listens there.
  const port = await freePort()
  const sql = client({ host: ['127.0.0.1', '127.0.0.1'], port: [port, port] })
  const ended = await outcome(sql.unsafe('select 1'))
  return ended === 'failed' ? undefined : 'no error in a second, and nobody listens on either host'
})
