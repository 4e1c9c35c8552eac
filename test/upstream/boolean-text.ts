// postgres.js writes the text `true` of a parameter that PostgreSQL knows as boolean as `f`.
// Our measures are `TYPES` in src/db/query.ts, and src/resource/kinds.ts, which casts such a parameter from text.
// Without the fault they can go.
import { once } from 'node:events'
import { check, client } from './kit.ts'
import { int16, int32, listen, message, WELCOME } from './server.ts'

const BOOLEAN = 16

await check(async () => {
  let told = (_bind: string) => {}
  const bind = new Promise<string>((resolve) => {
    told = resolve
  })
  const port = await listen(async (socket) => {
    await once(socket, 'data')
    socket.write(WELCOME)
    await once(socket, 'data')
    socket.write(Buffer.concat([message('1'), message('t', int16(1), int32(BOOLEAN)), message('n')]))
    told(String(await once(socket, 'data')))
  })
  client({ port })`insert into t values (${'true'})`.execute()
  return (await bind).includes('\0\0\0\x01f') ? 'PostgreSQL gets f' : undefined
})
