// postgres.js keeps the statements that come while it connects. When it is connected it sends half of them, and the
// statements that come then overtake the other half.
// Our measure is the queue of src/db/connection.ts: the client gets no statement before its session began. Without
// the fault it can keep the queue.
import { check, client } from './kit.ts'
import { serve } from './server.ts'

await check(async () => {
  const order: number[] = []
  const port = await serve((text) => {
    order.push(Number(text.split(' ')[1]))
    return { rows: ['1'] }
  })
  const sql = client({ port })
  const send = (n: number) => sql.unsafe(`select ${n}`).execute()
  const early = Array.from({ length: 10 }, (_, n) => send(n))
  const late = early[0]?.then(() => send(10))
  await Promise.all([...early, late])
  return order.join() === '0,1,2,3,4,5,6,7,8,9,10' ? undefined : `PostgreSQL gets the statements as ${order.join()}`
})
