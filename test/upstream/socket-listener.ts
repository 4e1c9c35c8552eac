// postgres.js listens for the errors of a socket that its option `socket` made only some microtasks later. A socket
// that fails at once ends the process.
// Our measure is in `#dial` of src/db/session.ts, which makes the socket of a cancel request in a later microtask.
// Without the fault it can make the socket at once.
import { Socket } from 'node:net'
import { check, client, outcomeOrCrash } from './kit.ts'

await check(async () => {
  const socket = () => new Socket().destroy(new Error('it failed at once'))
  const ended = await outcomeOrCrash(client({ socket }).unsafe('select 1'))
  return ended === 'failed' ? undefined : ended
})
