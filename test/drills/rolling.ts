// Two instances behind HAProxy are restarted in turn under load: no request is lost, none fails.
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../support/free-port.ts'
import { afterwards, ask, cluster, drill, expect, folder, quick, service, until, writers } from './kit.ts'

const ROUNDS = quick ? 1 : 5

await drill(`Rolling restarts of two instances behind HAProxy, ${ROUNDS} of each`, async () => {
  const database = await cluster()
  const instances = [await service({ DATABASE_URL: database.url }), await service({ DATABASE_URL: database.url })]
  const port = await freePort()
  const file = join(folder(), 'haproxy.cfg')
  // The configuration is that of docs/running.md.
  writeFileSync(
    file,
    `defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 10s
  option redispatch
  retries 3
frontend api
  bind 127.0.0.1:${port}
  default_backend rowkeeper
backend rowkeeper
  option httpchk GET /health/ready
  default-server check inter 300ms fall 1 rise 1
${instances.map((one, i) => `  server s${i} 127.0.0.1:${one.port}`).join('\n')}
`
  )
  const proxy = spawn('haproxy', ['-db', '-f', file], { stdio: 'ignore' })
  afterwards(() => proxy.kill('SIGKILL'))
  await until(
    () => 'HAProxy has a ready instance',
    async () => (await ask(port, 'GET', '/health/ready')).status === 200
  )
  const load = writers(port, 16)
  await sleep(500)
  for (let round = 0; round < ROUNDS; round++) {
    for (const one of instances) {
      const begun = performance.now()
      const code = await one.stop('SIGTERM')
      const ms = Math.round(performance.now() - begun)
      expect(code === 0 && ms < 8000, `exit ${code} after ${ms} ms`)
      await one.start()
      await sleep(700)
    }
  }
  await load.stop()
  const kept = new Set((await database.query<{ id: string }>('select id from tasks')).map(({ id }) => id))
  const lost = [...load.acknowledged].filter((id) => !kept.has(id)).length
  console.log(`  answers ${load.told()}; the slowest after ${Math.round(load.slowest())} ms`)
  expect(
    [...load.statuses.keys()].every((status) => status === 201),
    'every request succeeded'
  )
  expect(lost === 0 && kept.size === load.acknowledged.size, `${kept.size} writes, each once, none lost`)
})
