// postgres.js tries a connection that was closed before it was ready again, at once and for ever. The statement that
// waits for it never fails.
// Our measure is the option `socket` in src/db/session.ts, which refuses a second attempt. Without the fault the
// refusal can go.
import { check, client, outcome } from './kit.ts'
import { listen } from './server.ts'

await check(async () => {
  let attempts = 0
  const port = await listen((socket) => {
    attempts++
    socket.end()
  })
  const ended = await outcome(client({ port }).unsafe('select 1'))
  return ended === 'failed' ? undefined : `no error after ${attempts} attempts in a second`
})
