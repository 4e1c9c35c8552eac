import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import type { Wait } from '../../client/index.ts'
import { claimsOf, newUser, sign, tokenFor } from '../support/app.ts'
import { until } from '../support/key-server.ts'
import { holdTimers } from '../support/timers.ts'
import { clientFor, problem, type Served, serve } from './kit.ts'

const expired = (user: string) => tokenFor(user, { iat: 1_700_000_000, exp: 1_700_000_600 })

/** Runs the waits of the client as soon as they are set, while `work` goes on. */
async function hurried<T>(timers: ReturnType<typeof holdTimers>, work: Promise<T>): Promise<T> {
  let done = false
  const end = work.finally(() => {
    done = true
  })
  end.catch(() => {})
  while (!done) {
    timers.runAll()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return end
}

/** The waits of the client, but not the timers of the service. */
const waits = (t: Parameters<typeof holdTimers>[0]) => holdTimers(t, (ms) => ms >= 500 && ms % 1 !== 0)

t.test('of many calls with an expired token one fetches a new one (issue 22)', async (t) => {
  const service = await serve(t)
  const user = newUser()
  let fetched = 0
  const token = async () => (fetched++ === 0 ? expired(user) : tokenFor(user))
  const { tasks } = clientFor(t, service, user, { token })
  await Promise.all(Array.from({ length: 20 }, () => tasks.page()))
  t.equal(fetched, 2)
  t.equal(service.count('GET'), 40)
})

t.test('a token that the service refuses for good is asked for once more, and then refused (issue 22)', async (t) => {
  const service = await serve(t)
  const user = newUser()
  let fetched = 0
  const token = async () => {
    fetched++
    return expired(user)
  }
  const { tasks } = clientFor(t, service, user, { token })
  await t.rejects(tasks.page(), { code: 'token_expired', status: 401 })
  t.equal(fetched, 2)
  const other = clientFor(t, service, user, { token: async () => sign({ alg: 'HS256', typ: 'x' }, claimsOf(user)) })
  await t.rejects(other.tasks.page(), { code: 'token_type' })
})

for (const [status, code] of [
  [429, 'rate_limited'],
  [429, 'too_many_in_flight'],
  [503, 'unavailable'],
  [503, 'keys_unavailable'],
  [409, 'idempotency_key_in_flight']
] as const) {
  t.test(`after ${code} the client waits as long as it is told, and says so (issue 22)`, async (t) => {
    const service = await serve(t)
    const told: Wait[] = []
    const { tasks } = clientFor(t, service, newUser(), { onWait: (wait: Wait) => told.push(wait) })
    const timers = waits(t)
    service.faultNext('POST', problem(status, code, '7'))
    const task = await hurried(timers, tasks.create({ title: 'Once' }))
    t.equal(task.version, 1)
    t.equal(told.length, 1)
    t.match(told[0]?.problem, { code, retryAfter: 7 })
    const { seconds = 0 } = told[0] ?? {}
    t.ok(seconds >= 7 && seconds <= 10.5, `${seconds} s`)
    service.faultNext('GET', problem(status, code, '7'), 99)
    await t.rejects(hurried(timers, tasks.page()), { code })
    t.equal(service.count('GET'), 4, 'a request is sent 4 times at most')
  })
}

t.test(
  'an error that has no use for a wait is thrown at once: the code decides, not the status (issue 22)',
  async (t) => {
    const service = await serve(t)
    const { tasks } = clientFor(t, service)
    const at = async (fault: ReturnType<typeof problem>, code: string) => {
      const before = service.count('GET')
      service.faultNext('GET', fault)
      await t.rejects(tasks.page(), { code })
      t.equal(service.count('GET'), before + 1, code)
    }
    await at(problem(503, 'unavailable'), 'unavailable')
    await at(problem(503, 'maintenance', '1'), 'maintenance')
    await at(problem(429, 'rate_limited', '3600'), 'rate_limited')
    await at({ status: 503, headers: { 'retry-after': '1' }, body: 'Busy' }, 'unrecognized_answer')
    await at({ status: 429, headers: { 'retry-after': '1' }, body: '{"code":1}' }, 'unrecognized_answer')
    await at({ status: 404, body: '{"code":1,"detail":"x"}' }, 'unrecognized_answer')
  }
)

t.test('the retries of a page have a budget, which successes refill (issue 22)', async (t) => {
  const service = await serve(t)
  const { tasks } = clientFor(t, service)
  const timers = waits(t)
  service.faultNext('GET', problem(503, 'unavailable', '1'), 9999)
  for (let i = 0; i < 20; i++) await t.rejects(hurried(timers, tasks.page()), { code: 'unavailable' })
  t.equal(service.count('GET'), 20 + 30)
  service.fault(() => undefined)
  for (let i = 0; i < 6; i++) await tasks.page()
  service.faultNext('GET', problem(503, 'unavailable', '1'))
  t.same((await hurried(timers, tasks.page())).items, [])
})

/** A call that the service does although its answer is lost, and what it has done afterwards. */
type Case = (service: Served, tasks: ReturnType<typeof clientFor>['tasks']) => Promise<unknown>

const titles = async (tasks: ReturnType<typeof clientFor>['tasks']) =>
  (await tasks.page()).items.map(({ title, version }) => [title, version])

for (const fault of ['cut before', 'cut after'] as const) {
  const lose = (name: string, run: Case, left: [string, number][]) =>
    t.test(`${name} happens once when its connection is ${fault} the write (issue 22)`, async (t) => {
      const service = await serve(t)
      const { tasks } = clientFor(t, service)
      const timers = waits(t)
      const before = await tasks.create({ title: 'Before' })
      t.equal(before.version, 1)
      await hurried(timers, run(service, tasks))
      t.same(await titles(tasks), left)
    })
  lose(
    'a create',
    async (service, tasks) => {
      service.faultNext('POST', fault)
      await tasks.create({ title: 'New' })
    },
    [
      ['New', 1],
      ['Before', 1]
    ]
  )
  lose(
    'a batch',
    async (service, tasks) => {
      service.faultNext('POST', fault)
      await tasks.batch({ create: [{ title: 'New' }] })
    },
    [
      ['New', 1],
      ['Before', 1]
    ]
  )
  lose(
    'a change with a version',
    async (service, tasks) => {
      const [task] = (await tasks.page()).items
      service.faultNext('PATCH', fault)
      const change = { title: 'After', dueAt: '2030-01-31T10:00:00+01:00' }
      const changed = await tasks.change(task?.id ?? '', change, { version: 1 })
      t.match(changed, { title: 'After', version: 2, dueAt: '2030-01-31T09:00:00+00:00' })
    },
    [['After', 2]]
  )
  lose(
    'a removal with a version',
    async (service, tasks) => {
      const [task] = (await tasks.page()).items
      service.faultNext('DELETE', fault)
      await tasks.remove(task?.id ?? '', { version: 1 })
    },
    []
  )
}

t.test('a write that could undo what others did is not sent again (issue 22)', async (t) => {
  const service = await serve(t)
  const { tasks } = clientFor(t, service)
  const { id } = await tasks.create({ title: 'Before' })
  service.faultNext('PATCH', 'cut before')
  await t.rejects(tasks.change(id, { title: 'x' }), { code: 'connection_lost', status: 0, requestId: null })
  service.faultNext('DELETE', 'cut before')
  await t.rejects(tasks.remove(id), { code: 'connection_lost' })
  t.same(await titles(tasks), [['Before', 1]])
})

t.test('a signal ends a call after the garbage was collected, too (issue 22)', async (t) => {
  const service = await serve(t)
  const { tasks } = clientFor(t, service)
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const reason = new Error('The user has left')
  const controller = new AbortController()
  service.fault(() => 'hang')
  const ended = t.rejects(tasks.page({}, undefined, { signal: controller.signal }), reason)
  await until(() => service.lists() === 1)
  for (let i = 0; i < 3; i++) {
    collect()
    await turn()
  }
  controller.abort(reason)
  await ended
})

t.test('a signal ends a call while it waits for the token, for the answer, and to try again (issue 22)', async (t) => {
  const service = await serve(t)
  const user = newUser()
  let give = (_token: string) => {}
  const token = () => new Promise<string>((resolve) => (give = resolve))
  const { tasks } = clientFor(t, service, user, { token })
  const reason = new Error('The user has left')
  const call = async (before: (abort: () => void) => void) => {
    const controller = new AbortController()
    const abort = () => controller.abort(reason)
    const ended = tasks.page({}, undefined, { signal: controller.signal })
    before(abort)
    await t.rejects(ended, reason)
  }
  await call((abort) => abort())
  give(tokenFor(user))
  await call((abort) => {
    service.fault(() => {
      setImmediate(abort)
      return 'hang'
    })
  })
  service.faultNext('GET', problem(503, 'unavailable', '100'))
  const timers = holdTimers(t, (ms) => ms >= 100_000)
  await call((abort) => {
    const look = () => (timers.count() > 0 ? abort() : setImmediate(look))
    look()
  })
  await t.rejects(tasks.page({}, undefined, { signal: AbortSignal.abort(reason) }), reason)
})
