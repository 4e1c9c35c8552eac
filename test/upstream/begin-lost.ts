// postgres.js sends the rollback of a transaction whose connection was lost to the socket that is gone. It throws where
// nobody can catch the error, and the process ends.
// Our measure is `transaction` in src/db/connection.ts, on a connection that connects once. Without this fault and that
// of begin-full.ts `sql.begin` can take its place.
import { check, client, outcomeOrCrash } from './kit.ts'
import { serve } from './server.ts'

await check(async () => {
  const port = await serve((text, socket) => {
    if (text !== 'select 2') return { rows: ['1'] }
    socket.destroy()
    return undefined
  })
  const ended = await outcomeOrCrash(client({ port }).begin((inside) => inside`select 2`))
  return ended === 'failed' ? undefined : ended
})
