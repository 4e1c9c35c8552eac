// The database is paused, full, read-only, restarted, and loses connections, by a reset or without a word: each request
// is answered within 5 s, and the service goes on by itself.
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import postgres from 'postgres'
import { type Answer, afterwards, ask, cluster, drill, expect, service, until, writers } from './kit.ts'

/** A proxy to a database. `vanish` stops its connections without closing them. */
async function proxyTo(url: string) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    const onward = connect({ host: new URL(url).hostname, port: Number(new URL(url).port) })
    socket.pipe(onward).pipe(socket)
    for (const end of [socket, onward]) sockets.add(end.on('error', () => {}))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  afterwards(() => server.close())
  const { port } = server.address() as AddressInfo
  return {
    url: Object.assign(new URL(url), { port: String(port) }).href,
    vanish() {
      for (const socket of sockets) socket.pause()
    }
  }
}

await drill('A database that is paused, full, read-only, restarting', async () => {
  const database = await cluster(['max_connections=20', 'superuser_reserved_connections=0'])
  const to = await proxyTo(database.url)
  const app = await service({ DATABASE_URL: to.url, DATABASE_POOL_MAX: '5' })
  const read = (n = 0) => ask(app.port, 'GET', '/api/tasks', `user-${n}`)
  const recovered = async (what: string) => {
    const begun = performance.now()
    await until(
      () => what,
      async () => (await read()).status === 200
    )
    const ms = Math.round(performance.now() - begun)
    expect(ms < 5000, `${what}: works again ${ms} ms later`)
  }
  const refused = (answers: Answer[], what: string) => {
    const slowest = Math.round(Math.max(...answers.map(({ ms }) => ms)))
    const good = answers.every(({ status, retryAfter, body }) => {
      return status === 503 && retryAfter !== undefined && body.includes('"code":"unavailable"')
    })
    const told = [...new Set(answers.map(({ status }) => status))]
    expect(good && slowest < 5100, `${what}: ${answers.length} answers ${told}, the slowest after ${slowest} ms`)
  }
  const many = (count: number) => Promise.all(Array.from({ length: count }, (_, n) => read(n)))

  await read()
  to.vanish()
  const [ready] = await Promise.all([ask(app.port, 'GET', '/health/ready', 'nobody'), many(300)])
  expect(ready.ms < 5100, `its connections vanished: readiness answers after ${Math.round(ready.ms)} ms`)
  await recovered('its connections vanished')

  database.signal('STOP')
  refused(await many(300), 'paused')
  database.signal('CONT')
  await recovered('paused')

  database.signal('STOP')
  const creates = Array.from({ length: 700 }, (_, n) =>
    ask(app.port, 'POST', '/api/tasks', `late-${n}`, { title: 'x' })
  )
  refused(await Promise.all(creates), 'paused, writes')
  database.signal('CONT')
  await recovered('paused, writes')
  await sleep(1000)
  const [late] = await database.query<{ n: number }>(`select count(*)::int as n from tasks where user_id like 'late-%'`)
  console.log(`  ${late?.n} of 700 writes that were answered 503 are done all the same: those sent before`)

  const load = writers(app.port, 16)
  await sleep(300)
  for (let i = 0; i < 100; i++) {
    await database.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'rowkeeper'`)
    await sleep(100 * Math.random())
  }
  await recovered('backends killed')
  await database.stop('SIGINT')
  await sleep(1000)
  refused(await many(20), 'stopped')
  await database.start()
  await recovered('restarted')
  await load.stop()
  const kept = new Set((await database.query<{ id: string }>('select id from tasks')).map(({ id }) => id))
  const lost = [...load.acknowledged].filter((id) => !kept.has(id)).length
  const strange = [...load.statuses.keys()].filter((status) => ![201, 503].includes(status))
  expect(strange.length === 0, `every write meanwhile is a 201 or a 503 ${strange}`)
  expect(lost === 0, `of ${load.acknowledged.size} acknowledged writes ${lost} are lost; ${load.told()}`)

  await database.query('alter system set default_transaction_read_only = on')
  await database.query('select pg_reload_conf()')
  await sleep(200)
  refused([await ask(app.port, 'POST', '/api/tasks', 'alice', { title: 'x' })], 'read-only')
  await database.query('alter system reset default_transaction_read_only')
  await database.query('select pg_reload_conf()')

  await database.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'rowkeeper'`)
  const hogs = Array.from({ length: 20 }, () => postgres(database.url, { max: 1, backoff: () => 0.05 }))
  await Promise.allSettled(hogs.map((one) => one`select 1`))
  refused(await many(10), 'no connection left')
  await Promise.all(hogs.map((one) => one.end({ timeout: 1 })))
  await recovered('no connection left')
})
