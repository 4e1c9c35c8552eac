import fc from 'fast-check'
import t from 'tap'
import { newUser } from '../support/app.ts'
import { holdTimers } from '../support/timers.ts'
import {
  clientFor,
  problem,
  type Query,
  randomMembers,
  type Served,
  serve,
  shows,
  type Tab,
  type Task,
  watch
} from './kit.ts'

const STEPS = 500
const SEED = 22

const QUERIES: Query[] = [
  { limit: 5 },
  { limit: 4, sort: 'title', completed: false },
  { limit: 100, q: 'a', sort: '-updatedAt' },
  { limit: 3, sort: '-dueAt' }
]

const step = fc.record({
  tab: fc.nat(2),
  kind: fc.constantFrom(
    'create',
    'create',
    'change',
    'change',
    'change',
    'remove',
    'batch',
    'more',
    'cut',
    'shed',
    'undo'
  ),
  item: fc.nat(),
  values: randomMembers,
  wait: fc.boolean()
})

/** Does one step in a tab. A step may fail: its item is gone, or the service cannot be reached. */
async function take({ service, tabs, lists, gone }: World, { tab, kind, item, wait, values }: Step) {
  const { tasks } = tabs[tab] as Tab
  const shown = (lists[tab] ?? []).flatMap((list) => list.getSnapshot().rows).filter(({ version }) => version > 0)
  const row = shown[item % Math.max(shown.length, 1)]
  const done = async () => {
    if (kind === 'create') return tasks.create(values)
    if (kind === 'more') return Promise.all((lists[tab] ?? []).map((list) => list.more()))
    if (kind === 'cut') return service.cutAll()
    if (kind === 'shed') return service.faultNext('GET', problem(503, 'unavailable'), 2)
    if (kind === 'undo' && gone.length > 0) return tasks.create({ id: gone.pop() ?? '', ...values })
    if (row === undefined) return
    if (kind === 'change') return tasks.change(row.id, values, item % 2 ? { version: row.version, rebase: true } : {})
    if (kind === 'remove') return tasks.remove(row.id).then(() => gone.push(row.id))
    return tasks.batch({ create: [values], update: [{ id: row.id, change: { completed: values.completed } }] })
  }
  const end = done().catch(() => {})
  if (wait) await end
  return end
}

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never
interface World {
  service: Served
  tabs: Tab[]
  lists: ReturnType<typeof watch>[][]
  gone: string[]
}

t.test(
  `${STEPS} random steps in three tabs, with lost connections: each shows what the service has (issue 22)`,
  async (t) => {
    const service = await serve(t, { RATE_LIMIT_MAX: 'off' })
    // Lost connections are tried again at once.
    const timers = holdTimers(t, (ms) => ms % 1 !== 0)
    const hurry = setInterval(() => timers.runAll(), 5)
    t.teardown(() => clearInterval(hurry))
    const user = newUser()
    const tabs = Array.from({ length: 3 }, () => clientFor(t, service, user))
    const lists = tabs.map((tab) => QUERIES.map((query) => watch(t, tab, query)))
    const world = { service, tabs, lists, gone: [] }
    const steps = fc.sample(step, { numRuns: STEPS, seed: SEED })
    const ROUND = 50
    for (let from = 0; from < STEPS; from += ROUND) {
      const running = []
      for (const one of steps.slice(from, from + ROUND)) running.push(await Promise.all([take(world, one)]))
      await Promise.all(running)
      service.fault(() => undefined)
      for (const [i, tab] of tabs.entries()) {
        for (const [j, query] of QUERIES.entries()) {
          const list = lists[i]?.[j] as ReturnType<typeof watch>
          const wanted: Task[] = []
          for await (const task of tab.tasks.list({ ...query, limit: 100 })) wanted.push(task)
          const isEqual = ({ rows, hasMore, pending }: ReturnType<typeof list.getSnapshot>) =>
            pending.size === 0 &&
            JSON.stringify(rows) === JSON.stringify(wanted.slice(0, rows.length)) &&
            (hasMore || rows.length === wanted.length)
          const shown = await shows(list, (shown) => shown.live && isEqual(shown))
          t.ok(
            isEqual(shown),
            `step ${from}, tab ${i}, ${JSON.stringify(query)}: ${shown.rows.length} of ${wanted.length}`
          )
        }
      }
    }
  }
)
