// The service and PostgreSQL are killed (SIGKILL) in turn under writes. Every acknowledged write must be there
// afterwards.
import { setTimeout as sleep } from 'node:timers/promises'
import { cluster, drill, expect, quick, service, writers } from './kit.ts'

const KILLS = quick ? 4 : 20
const WRITES = quick ? 1000 : 10_000

await drill(`kill -9, ${KILLS} times, under load`, async () => {
  const database = await cluster()
  const app = await service({ DATABASE_URL: database.url })
  const load = writers(app.port, 32)
  for (let kill = 1; kill <= KILLS; kill++) {
    await load.reach((WRITES / KILLS) * kill)
    await sleep(Math.random() * 100)
    const victim = kill % 2 === 0 ? app : database
    await victim.stop('SIGKILL')
    await victim.start()
  }
  await load.reach(load.acknowledged.size + 100)
  await load.stop()
  const kept = new Set((await database.query<{ id: string }>('select id from tasks')).map(({ id }) => id))
  const lost = [...load.acknowledged].filter((id) => !kept.has(id))
  const unsaid = kept.size - load.acknowledged.size + lost.length
  console.log(`  answers ${load.told()}; slowest ${Math.round(load.slowest())} ms; ${unsaid} done but not acknowledged`)
  expect(load.acknowledged.size >= WRITES, `${load.acknowledged.size} writes were acknowledged`)
  expect(lost.length === 0, `${lost.length} of them are lost`)
  const strange = [...load.statuses.keys()].filter((status) => ![0, 201, 503].includes(status))
  expect(strange.length === 0, `every other answer is a 503 or a broken connection ${strange}`)
  expect(load.slowest() < 5100, 'each within 5 s')
})
