// Clients that send slowly, never end, or never read, a hundred of each: they are cut, and nobody else notices.
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask, cluster, drill, expect, service } from './kit.ts'

const EACH = 100

/** How long a connection lived that sends `first`, then `drop` every 200 ms. */
async function slow(port: number, first: string, drop: string) {
  const begun = performance.now()
  const socket = connect(port, '127.0.0.1')
  let answer = ''
  socket.on('data', (chunk) => (answer += chunk)).on('error', () => {})
  socket.write(first)
  const dropping = setInterval(() => drop !== '' && socket.write(drop), 200)
  await Promise.race([once(socket, 'close'), sleep(15_000)])
  clearInterval(dropping)
  socket.destroy()
  return { ms: performance.now() - begun, status: answer.split(' ')[1] ?? 'none' }
}

await drill(`Slow clients, ${EACH} of each kind`, async () => {
  const database = await cluster()
  const app = await service({ DATABASE_URL: database.url })
  const head = 'POST /api/tasks HTTP/1.1\r\nHost: x\r\n'
  const kinds = [
    ['headers that never end', head, 'X-Drop: 1\r\n', 6000],
    ['a body that never comes', `${head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n`, '', 6000],
    [
      'a body that never ends',
      `${head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
      '1\r\n \r\n',
      6000
    ],
    ['nothing said', '', '', 6000]
  ] as const
  const cutting = kinds.map(async ([what, first, drop, most]) => {
    const all = await Promise.all(Array.from({ length: EACH }, () => slow(app.port, first, drop)))
    const longest = Math.round(Math.max(...all.map(({ ms }) => ms)))
    const statuses = [...new Set(all.map(({ status }) => status))]
    expect(longest < most, `${what}: cut after ${longest} ms at most, with ${statuses}`)
  })
  const slowest: number[] = []
  for (let i = 0; i < 50; i++) {
    const { status, ms } = await ask(app.port, 'GET', '/api/tasks')
    if (status !== 200) expect(false, `somebody else is answered ${status}`)
    slowest.push(ms)
    await sleep(50)
  }
  expect(
    Math.max(...slowest) < 1000,
    `somebody else is answered within ${Math.round(Math.max(...slowest))} ms meanwhile`
  )
  await Promise.all(cutting)
})
