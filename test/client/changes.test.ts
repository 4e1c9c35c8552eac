import t, { type Test } from 'tap'
import type { Change } from '../../client/index.ts'
import { SILENCE_MS } from '../../client/stream.ts'
import { FROZEN_MS } from '../../client/tabs.ts'
import { wait } from '../../client/time.ts'
import { metric, newUser, tokenFor } from '../support/app.ts'
import { until } from '../support/key-server.ts'
import { holdTimers } from '../support/timers.ts'
import { clientFor, problem, serve } from './kit.ts'
import { Locks, withLocks } from './locks.ts'

type Tab = ReturnType<typeof clientFor>

/** What a tab is told from now on, in short. */
function listen(t: Test, { client }: Tab) {
  const told: string[] = []
  const stop = client.changes().subscribe((change: Change) => {
    const { type } = change
    told.push(
      type === 'live'
        ? `live ${change.live}`
        : type === 'reload'
          ? type
          : `${type} ${change.resource} ${change.version}`
    )
  })
  t.teardown(stop)
  const has = (...wanted: string[]) => until(() => told.slice(-wanted.length).join() === wanted.join())
  return { told, has, stop }
}

const isBackoff = (ms: number) => ms % 1 !== 0 && ms < 60_000

t.test('one stream tells the changes of all resources, and goes on where it broke off (issue 22)', async (t) => {
  withLocks(t, undefined)
  const service = await serve(t)
  const tab = clientFor(t, service)
  const { told, has } = listen(t, tab)
  await has('reload', 'live true')
  const { id } = await tab.tasks.create({ title: 'One' })
  await has('created tasks 1')
  const timers = holdTimers(t, isBackoff)
  service.cutAll()
  await has('live false')
  await tab.tasks.change(id, { title: 'Two' })
  await tab.tasks.remove(id)
  await timers.fire()
  await has('live true', 'updated tasks 2', 'deleted tasks 2')
  t.same(told, [
    'reload',
    'live true',
    'created tasks 1',
    'live false',
    'live true',
    'updated tasks 2',
    'deleted tasks 2'
  ])
  const [first, second] = service.seen.filter(({ url }) => url === '/api/events')
  t.equal(first?.headers['last-event-id'], undefined)
  t.match(second?.headers['last-event-id'], /^\d+$/)
})

t.test('a stream that is silent for 45 seconds is lost (issue 22)', async (t) => {
  const service = await serve(t)
  const tab = clientFor(t, service)
  const timers = holdTimers(t, (ms) => ms === SILENCE_MS || isBackoff(ms))
  const { has } = listen(t, tab)
  await has('reload', 'live true')
  await timers.fire(SILENCE_MS)
  await has('live false')
  await timers.fire(isBackoff)
  await has('live true')
  service.fault(({ url }) => (url?.includes('/events') ? 'hang' : undefined))
  await timers.fire(SILENCE_MS)
  await has('live false')
  await timers.fire(isBackoff)
  await until(() => service.count('GET', '/api/events') === 3)
  service.fault(() => undefined)
  await timers.fire(SILENCE_MS)
  await timers.fire(isBackoff)
  await has('live true')
})

t.test('a stream waits longer after each failure, and as long as it is asked to (issue 22)', async (t) => {
  const service = await serve(t)
  const tab = clientFor(t, service)
  const timers = holdTimers(t, (ms) => ms % 1 !== 0)
  service.fault(() => problem(503, 'unavailable'))
  const { has } = listen(t, tab)
  await has('live false')
  const waits = []
  for (let i = 0; i < 6; i++) waits.push(await timers.fire())
  for (const [i, ms] of waits.entries()) {
    const base = Math.min(1000 * 2 ** (i + 1), 30_000)
    t.ok(ms >= base / 2 && ms <= base * 1.5, `${ms} ms`)
  }
  service.fault(() => problem(503, 'unavailable', '100'))
  await timers.fire()
  t.ok((await timers.fire(undefined, async () => service.fault(() => undefined))) >= 50_000)
  await has('reload', 'live true')
})

t.test('a stream whose token expires goes on with a new one, and nobody notices (issue 22)', async (t) => {
  const service = await serve(t, { JWT_CLOCK_TOLERANCE_SECONDS: '0' })
  const user = newUser()
  let fetched = 0
  const token = async () => {
    const now = Math.floor(Date.now() / 1000)
    return tokenFor(user, fetched++ === 0 ? { iat: now, exp: now + 2 } : {})
  }
  const tab = clientFor(t, service, user, { token })
  const { told, has } = listen(t, tab)
  await has('reload', 'live true')
  await until(() => service.count('GET', '/api/events') >= 2)
  await tab.tasks.create({ title: 'One' })
  await has('created tasks 1')
  t.same(told, ['reload', 'live true', 'created tasks 1'])
  t.equal(fetched, 2)
})

t.test(
  'a tab whose issuer is down begins as soon as there is a token; signed out, it never does (issue 22)',
  async (t) => {
    const service = await serve(t)
    const user = newUser()
    let down = true
    const token = async () => {
      if (down) throw new Error('down')
      return tokenFor(user)
    }
    const timers = holdTimers(t, (ms) => ms === 1000 || ms === 2000)
    const { told, has } = listen(t, clientFor(t, service, user, { token }))
    await has('live false')
    // One of the first is for a tab that hears nothing.
    for (const _ of [1, 2]) await timers.fire(1000)
    await until(() => told.length === 3)
    down = false
    await timers.fire(2000)
    await has('reload', 'live true')

    const out = clientFor(t, service, user, { token: async () => null })
    let ends = 0
    out.client.onSignedOut(() => ends++)
    const nothing = listen(t, out)
    await until(() => ends === 1)
    await t.rejects(out.tasks.page(), { code: 'signed_out' })
    t.same(nothing.told, ['live false'])
  }
)

t.test('a stream goes on as soon as the browser has a network again (issue 22)', async (t) => {
  const browser = new EventTarget()
  for (const name of ['addEventListener', 'removeEventListener'] as const) {
    t.intercept(globalThis, name as never, { value: browser[name].bind(browser), configurable: true } as never)
  }
  const service = await serve(t)
  const tab = clientFor(t, service)
  const { has } = listen(t, tab)
  await has('reload', 'live true')
  holdTimers(t, isBackoff)
  service.cutAll()
  await has('live false')
  while (service.count('GET', '/api/events') < 2) {
    browser.dispatchEvent(new Event('online'))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await has('live true')
  await t.rejects(wait(1000, AbortSignal.abort(new Error('over'))), { message: 'over' })
})

t.test('events that the client does not know are no changes (issue 22)', async (t) => {
  const service = await serve(t)
  const tab = clientFor(t, service)
  const body = 'event: later\ndata: {}\n\nevent: deleted\nid: 7\ndata: {"resource":"tasks","id":"x","version":1}\n\n'
  service.fault(({ url }) =>
    url?.includes('/events') ? { status: 200, headers: { 'content-type': 'text/event-stream' }, body } : undefined
  )
  const { told } = listen(t, tab)
  await until(() => told.length >= 3)
  t.same(told.slice(0, 3), ['live true', 'deleted tasks 1', 'live false'])
})

t.test('of the tabs of a user one holds the stream, and the next one takes over (issue 22)', async (t) => {
  withLocks(t, new Locks())
  const service = await serve(t)
  const user = newUser()
  const [one, two, three] = [1, 2, 3].map(() => clientFor(t, service, user)) as [Tab, Tab, Tab]
  const streams = () => Number(metric(service.app, 'streams'))
  const first = listen(t, one)
  await first.has('reload', 'live true')
  const second = listen(t, two)
  await second.has('live true')
  const { id } = await three.tasks.create({ title: 'One' })
  await Promise.all([first.has('created tasks 1'), second.has('created tasks 1')])
  t.equal(streams(), 1)
  const other = listen(t, clientFor(t, service))
  await other.has('reload', 'live true')
  t.equal(streams(), 2, 'another user has a stream of their own')

  // The tab goes away, and a change is made before the next one has a stream.
  service.fault(({ url }) => (url?.includes('/events') ? 'hang' : undefined))
  const asked = () => service.count('GET', '/api/events')
  const before = asked()
  first.stop()
  await until(() => asked() === before + 1)
  await three.tasks.change(id, { title: 'Two' })
  service.fault(() => undefined)
  const timers = holdTimers(t, isBackoff)
  service.cutAll()
  while (second.told.at(-1) !== 'updated tasks 2') {
    timers.runAll()
    await new Promise((resolve) => setImmediate(resolve))
  }
  const changes = second.told.filter((one) => !one.startsWith('live'))
  t.same(changes, ['created tasks 1', 'updated tasks 2'], 'nothing is missed, and nothing is told twice')
  t.notMatch(other.told, ['updated tasks 2'])
})

t.test('a tab that is frozen loses the stream to one that is not (issue 22)', async (t) => {
  withLocks(t, new Locks())
  const service = await serve(t)
  const user = newUser()
  const [one, two] = [clientFor(t, service, user), clientFor(t, service, user)]
  const first = listen(t, one)
  await first.has('reload', 'live true')
  const timers = holdTimers(t, FROZEN_MS)
  const second = listen(t, two)
  await second.has('live true')
  await timers.fire(FROZEN_MS)
  await until(() => service.count('GET', '/api/events') === 2)
  await until(() => metric(service.app, 'streams') === 1)
  await one.tasks.create({ title: 'One' })
  await Promise.all([first.has('created tasks 1'), second.has('created tasks 1')])
  second.stop()
  await until(() => service.count('GET', '/api/events') === 3)
  await one.tasks.create({ title: 'Two' })
  await first.has('created tasks 1', 'created tasks 1')
})

t.test('who signs out in one tab is signed out in all, and nobody else is (issue 22)', async (t) => {
  withLocks(t, new Locks())
  const service = await serve(t)
  const user = newUser()
  const tabs = [clientFor(t, service, user), clientFor(t, service, user)]
  const other = clientFor(t, service)
  const ends = [0, 0, 0]
  for (const [i, tab] of [...tabs, other].entries()) {
    const leave = tab.client.onSignedOut(() => t.fail('it does not listen any more'))
    leave()
    tab.client.onSignedOut(() => ends.splice(i, 1, (ends[i] ?? 0) + 1))
    await until(() => true)
    await listen(t, tab).has('live true')
  }
  tabs[1]?.client.signOut()
  await until(() => ends.join() === '1,1,0')
  for (const { tasks } of tabs) await t.rejects(tasks.page(), { code: 'signed_out' })
  await other.tasks.create({ title: 'Mine' })
  await until(() => Number(metric(service.app, 'streams')) === 1)
})

t.test('a tab that ends before it has begun leaves nothing behind (issue 22)', async (t) => {
  withLocks(t, new Locks())
  const service = await serve(t)
  const tab = clientFor(t, service)
  const { told } = listen(t, tab)
  tab.client.close()
  await tab.tasks.page()
  t.same(told, ['live false'])
  t.equal(service.count('GET', '/api/events'), 0)
})
