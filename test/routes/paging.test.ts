import fc from 'fast-check'
import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { SORTS, type TaskQuery } from '../../src/tasks/schemas.ts'
import { asUser, build, newUser } from '../support/app.ts'

interface Task {
  id: string
  title: string
  description: string | null
  completed: boolean
  dueAt: string | null
  updatedAt: string
}

const EARLY = '1999-12-31T23:59:59.999999+00:00'
const LATE = '2030-01-31T09:00:00.123456+00:00'

// There are few values, so that many keys are equal.
const body = fc.record({
  title: fc.array(fc.constantFrom('a', 'A', 'b', 'B', 'z', 'Z', '_', '%', '\\', '{"id":"', 'ß', '🥛'), {
    minLength: 1,
    maxLength: 2
  }),
  description: fc.constantFrom(null, 'A b', '%'),
  completed: fc.boolean(),
  dueAt: fc.constantFrom(null, EARLY, '2030-01-31T09:00:00.123455+00:00', LATE, '2030-01-31T09:00:00.123457+00:00')
})
const sorted = { sort: fc.constantFrom(...SORTS), limit: fc.integer({ min: 1, max: 4 }) }
const filter = {
  completed: fc.boolean(),
  q: fc.constantFrom('a', 'B', '%', '_', '\\', 'ab'),
  dueBefore: fc.constantFrom(LATE, EARLY),
  dueAfter: fc.constantFrom(LATE, EARLY)
}
const query = fc.oneof(
  fc.record(sorted),
  fc.record({ ...sorted, ...filter }, { requiredKeys: ['sort', 'limit'] }) as fc.Arbitrary<
    TaskQuery & { sort: string; limit: number }
  >
)
const step = fc.oneof(
  body.map((create) => ({ create })),
  fc.nat().map((remove) => ({ remove }))
)
const history = fc.record({
  query,
  before: fc.array(body, { minLength: 2, maxLength: 12, size: 'max' }),
  updates: fc.array(fc.nat(), { maxLength: 5 }),
  // The steps after each page.
  meanwhile: fc.array(fc.array(step, { maxLength: 3 }), { maxLength: 8, size: 'max' })
})

type History = typeof history extends fc.Arbitrary<infer S> ? S : never

const lower = (text: string) => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
const compareBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))

function matches({ completed, q, dueBefore, dueAfter }: TaskQuery, task: Task): boolean {
  return (
    (completed === undefined || task.completed === completed) &&
    (q === undefined || lower(`${task.title}\n${task.description ?? ''}`).includes(lower(q))) &&
    (dueBefore === undefined || (task.dueAt !== null && task.dueAt < dueBefore)) &&
    (dueAfter === undefined || (task.dueAt !== null && task.dueAt > dueAfter))
  )
}

/** The order of a list, as docs/api.md says it. */
function order(sort: string) {
  const direction = sort.startsWith('-') ? -1 : 1
  const column = sort.replace('-', '')
  const byKey = (a: Task, b: Task) => {
    if (column === 'title') return compareBytes(lower(a.title), lower(b.title))
    if (column === 'updatedAt') return compareBytes(a.updatedAt, b.updatedAt)
    if (column === 'createdAt' || a.dueAt === b.dueAt) return 0
    if (a.dueAt === null || b.dueAt === null) return a.dueAt === null ? direction : -direction
    return compareBytes(a.dueAt, b.dueAt)
  }
  return (a: Task, b: Task) => direction * (byKey(a, b) || compareBytes(a.id, b.id))
}

t.test('pages neither skip nor repeat what stays, whatever comes and goes meanwhile', async (t) => {
  const app = await build(t, { RATE_LIMIT_MAX: 'off' })
  let pages = 0

  async function run({ query, before, updates, meanwhile }: History) {
    const headers = asUser(newUser())
    const tasks = new Map<string, Task>()
    const removed = new Set<string>()
    const write = async (method: 'POST' | 'PUT', path: string, payload: object) => {
      const task: Task = (await app.inject({ method, url: `/api/tasks${path}`, headers, payload })).json()
      tasks.set(task.id, task)
    }
    const create = (body: { title: string[] }) => write('POST', '', { ...body, title: body.title.join('') })
    const pick = (n: number) => [...tasks.keys()][n % tasks.size]

    for (const body of before) await create(body)
    for (const n of updates) {
      const id = pick(n)
      if (id !== undefined) await write('PUT', `/${id}`, { completed: n % 2 === 0 })
    }
    const there = new Map(tasks)

    const listed: Task[] = []
    let url: string | undefined =
      `/api/tasks?${new URLSearchParams(Object.entries(query).map(([name, value]): [string, string] => [name, `${value}`]))}`
    while (url !== undefined) {
      const answer: LightMyRequestResponse = await app.inject({ url, headers })
      if (answer.statusCode !== 200) throw new Error(answer.body)
      const page: Task[] = answer.json()
      pages++
      if (page.length > query.limit) throw new Error(`a page of ${page.length}`)
      for (const task of page) {
        if (!tasks.has(task.id)) throw new Error(`${task.id} was deleted before`)
      }
      listed.push(...page)
      url = /<([^>]+)>; rel="next"/.exec(String(answer.headers.link))?.[1]
      for (const step of meanwhile.shift() ?? []) {
        if ('create' in step) await create(step.create)
        else {
          const id = pick(step.remove)
          if (id === undefined) continue
          await app.inject({ method: 'DELETE', url: `/api/tasks/${id}`, headers })
          tasks.delete(id)
          removed.add(id)
        }
      }
    }

    const compare = order(query.sort)
    const same = (actual: Task[], expected: Task[], what: string) => {
      if (fc.stringify(actual) !== fc.stringify(expected)) {
        throw new Error(`${what}: ${fc.stringify(actual)}, not ${fc.stringify(expected)}`)
      }
    }
    same(listed, listed.toSorted(compare), 'the order')
    if (new Set(listed.map(({ id }) => id)).size < listed.length) throw new Error('a task came twice')
    for (const task of listed) if (!matches(query, task)) throw new Error(`${fc.stringify(task)} does not match`)
    const stayed = [...there.values()].filter((task) => !removed.has(task.id) && matches(query, task)).sort(compare)
    same(
      listed.filter(({ id }) => there.has(id) && !removed.has(id)),
      stayed,
      'what stayed'
    )
  }

  await fc.assert(fc.asyncProperty(history, run), { numRuns: 120, seed: 20_261_125 })
  t.ok(pages > 300, `${pages} pages`)
})
