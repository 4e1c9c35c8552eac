// The embedded database: killed in mid-write, and with its disk full. Every write that was acknowledged is there.
import { execFileSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterwards, ask, drill, expect, folder, quick, service, writers } from './kit.ts'

const KILLS = quick ? 2 : 10

/** The ids of all that the writers have. */
async function kept(port: number, count: number) {
  const ids = new Set<string>()
  for (let n = 0; n < count; n++) {
    for (let cursor = ''; ; ) {
      const page = await ask(port, 'GET', `/api/tasks?limit=100${cursor}`, `user-${n}`)
      const tasks = JSON.parse(page.body) as { id: string }[]
      for (const { id } of tasks) ids.add(id)
      const next = /cursor=([^&>]+)[^>]*>; rel="next"/.exec(page.link ?? '')?.[1]
      if (next === undefined) break
      cursor = `&cursor=${next}`
    }
  }
  return ids
}

await drill('The embedded database, killed and full', async () => {
  const disk = folder()
  let mounted = false
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=200m', 'tmpfs', disk], { stdio: 'ignore' })
    mounted = true
    afterwards(() => execFileSync('umount', ['-l', disk]))
  } catch {
    console.log('  (no file system may be mounted here: the disk is not filled)')
  }
  const app = await service({ DATABASE_URL: `pglite://${join(disk, 'pg')}` })
  const all = new Set<string>()
  const load = (ms: number) => {
    const one = writers(app.port, 4)
    return sleep(ms).then(() => one)
  }
  for (let kill = 1; kill <= KILLS; kill++) {
    const writing = await load(500 + Math.random() * 200)
    await app.stop('SIGKILL')
    await writing.stop()
    for (const id of writing.acknowledged) all.add(id)
    await app.start()
  }
  const check = async (what: string) => {
    const ids = await kept(app.port, 4)
    const lost = [...all].filter((id) => !ids.has(id)).length
    expect(all.size > 0 && lost === 0, `${what}: of ${all.size} acknowledged writes ${lost} are lost`)
  }
  await check(`killed ${KILLS} times`)
  if (!mounted) return

  const filler = join(disk, 'filler')
  try {
    for (let i = 0; ; i++) writeFileSync(`${filler}${i}`, Buffer.alloc(1_000_000))
  } catch {}
  const writing = await load(4000)
  await writing.stop()
  for (const id of writing.acknowledged) all.add(id)
  console.log(`  full: answers ${writing.told()}, the slowest after ${Math.round(writing.slowest())} ms`)
  const strange = [...writing.statuses.keys()].filter((status) => ![201, 503].includes(status))
  expect(strange.length === 0, `full: every write is a 201 or a 503 ${strange}`)
  expect((await ask(app.port, 'GET', '/health/live')).status === 200, 'full: the process lives')
  await app.stop('SIGKILL')
  for (let i = 0; i < 200; i++) rmSync(`${filler}${i}`, { force: true })
  await app.start()
  await check('with room again')
})
