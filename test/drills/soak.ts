// A steady load for `--minutes N` (10): memory and handles stay as they are.
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { ask, cluster, drill, expect, service } from './kit.ts'

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' } } })
const minutes = Number(values.minutes)
const WORKERS = 16
const QUEUE_CHECKS = 20

async function soak() {
  const database = await cluster()
  const app = await service({ DATABASE_URL: database.url })
  const end = performance.now() + minutes * 60_000
  let asked = 0
  const statuses = new Set<number>()
  const work = async (n: number) => {
    const user = `user-${n}`
    const say = async (method: string, path: string, json?: object) => {
      const answer = await ask(app.port, method, path, user, json)
      statuses.add(answer.status)
      asked++
      return answer
    }
    for (let i = 0; performance.now() < end; i++) {
      const { id } = JSON.parse((await say('POST', '/api/tasks', { title: `task ${i}` })).body) as { id: string }
      await say('GET', '/api/tasks')
      await say('PATCH', `/api/tasks/${id}`, { completed: true })
      await say('GET', `/api/tasks/${id}`)
      // What there is stays as much.
      if (i >= 50) await say('DELETE', `/api/tasks/${id}`)
      await sleep(5)
    }
  }
  const working = Promise.all(Array.from({ length: WORKERS }, (_, n) => work(n)))
  const looks: { megabytes: number; handles: number }[] = []
  for (let look = 1; look <= QUEUE_CHECKS; look++) {
    await sleep((minutes * 60_000) / QUEUE_CHECKS)
    const status = readFileSync(`/proc/${app.pid()}/status`, 'utf8')
    const megabytes = Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024)
    const handles = readdirSync(`/proc/${app.pid()}/fd`).length
    looks.push({ megabytes, handles })
    console.log(
      `  ${((minutes * look) / QUEUE_CHECKS).toFixed(1)} min: ${asked} requests, ${megabytes} MB, ${handles} handles`
    )
  }
  await working
  const of = (part: typeof looks, what: 'megabytes' | 'handles') => Math.max(...part.map((look) => look[what]))
  const [middle, late] = [looks.slice(QUEUE_CHECKS / 4, QUEUE_CHECKS / 2), looks.slice(-QUEUE_CHECKS / 4)]
  expect(
    [...statuses].every((status) => status === 200 || status === 201),
    `answers: ${[...statuses]}`
  )
  // Node always has some memory that it has not collected yet.
  expect(
    of(late, 'megabytes') <= of(middle, 'megabytes') * 1.25,
    `${of(middle, 'megabytes')} MB, then ${of(late, 'megabytes')}`
  )
  expect(
    of(late, 'handles') <= of(middle, 'handles') + 2,
    `${of(middle, 'handles')} handles, then ${of(late, 'handles')}`
  )
}

await drill(`A soak of ${minutes} minutes`, soak, minutes + 5)
