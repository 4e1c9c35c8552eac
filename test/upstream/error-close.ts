// postgres.js takes a statement that arrives between the `error` and the `close` of its socket for sent on the next
// connection. It never answers that statement, nor the second one after it.
// Our measure is that a `Connection` (src/db/connection.ts) connects once and fails with all statements that it was
// given, and that `reject` in src/db/query.ts gives it up at the error. Without the fault one client can reconnect.
import { check, client, outcome } from './kit.ts'
import { serve } from './server.ts'

await check(async () => {
  const port = await serve((text, socket) => {
    if (text !== 'select reset') return { rows: ['1'] }
    socket.resetAndDestroy()
    return undefined
  })
  const sql = client({ port })
  await sql.unsafe('select 1')
  // The error of a statement is known before its socket is closed.
  const between = await sql.unsafe('select reset').catch(() => outcome(sql.unsafe('select 2')))
  const after = [await outcome(sql.unsafe('select 3')), await outcome(sql.unsafe('select 4'))]
  if (between !== 'silence' && !after.includes('silence')) return undefined
  return `the statement in between ended in ${between}, those after it in ${after.join(', ')}`
})
