// What a review of the client broke, each with the right behaviour (issue 22).
import t, { type Test } from 'tap'
import { live } from '../../client/index.ts'
import { Rows } from '../../client/rows.ts'
import type { Pending } from '../../client/writes.ts'
import { metric, newUser, tokenFor } from '../support/app.ts'
import { until } from '../support/key-server.ts'
import { holdTimers } from '../support/timers.ts'
import { clientFor, problem, serve, shows, type Task } from './kit.ts'
import { Locks, withLocks } from './locks.ts'

const titles = ({ rows }: { rows: readonly Task[] }) => rows.map(({ title }) => title).join()

/** Collects what is thrown outside of any call, which is how errors of listeners are reported. */
function reported(t: Test): string[] {
  const errors: string[] = []
  const collect = (error: Error) => errors.push(error.message)
  const before = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', collect)
  t.teardown(() => {
    process.off('uncaughtException', collect)
    for (const one of before) process.on('uncaughtException', one)
  })
  return errors
}

t.test('a page whose locks are denied has a stream of its own, and is not blocked', async (t) => {
  withLocks(t, { request: () => Promise.reject(new DOMException('No origin', 'SecurityError')) } as unknown as Locks)
  const service = await serve(t)
  const tab = clientFor(t, service)
  const list = live(tab.tasks)
  t.teardown(list.subscribe(() => {}))
  await shows(list, ({ loaded, live }) => loaded && live)
})

t.test('a stream whose token has expired for the service alone does not begin again at once', async (t) => {
  const service = await serve(t)
  const user = newUser()
  const now = Math.floor(Date.now() / 1000)
  // The service still accepts it, because clocks differ, and ends each of its streams at once.
  const token = async () => tokenFor(user, { iat: now - 10, exp: now })
  const timers = holdTimers(t, (ms) => ms % 1 !== 0)
  t.teardown(
    clientFor(t, service, user, { token })
      .client.changes()
      .subscribe(() => {})
  )
  await until(() => timers.count() > 0)
  t.equal(service.count('GET', '/api/events'), 2)
})

t.test('a list that is listened to again loads what happened meanwhile, in the second tab too', async (t) => {
  withLocks(t, new Locks())
  const service = await serve(t)
  const user = newUser()
  const [one, two] = [clientFor(t, service, user), clientFor(t, service, user)]
  const first = live(one.tasks)
  t.teardown(first.subscribe(() => {}))
  await shows(first, ({ live }) => live)
  const list = live(two.tasks)
  const stop = list.subscribe(() => {})
  await shows(list, ({ loaded, live }) => loaded && live)
  stop()
  await until(() => !list.getSnapshot().live || !two.client.changes().live)
  const { id } = await one.tasks.create({ title: 'One' })
  const again = list.subscribe(() => {})
  await shows(list, (shown) => shown.live && titles(shown) === 'One')
  again()
  await until(() => !two.client.changes().live)
  await one.tasks.remove(id)
  await one.tasks.create({ id, title: 'Again' })
  t.teardown(list.subscribe(() => {}))
  await shows(list, (shown) => titles(shown) === 'Again')
  await one.tasks.change(id, { title: 'Changed' })
  await shows(list, (shown) => titles(shown) === 'Changed')
})

t.test('an error in a listener is reported, and reaches nobody else', async (t) => {
  const errors = reported(t)
  const service = await serve(t)
  const [here, elsewhere] = [clientFor(t, service, 'l'), clientFor(t, service, 'l')]
  const fail = () => {
    throw new Error('A fault of the app')
  }
  t.teardown(here.client.changes().subscribe(fail))
  const list = live(here.tasks)
  const leave = list.subscribe(fail)
  t.teardown(list.subscribe(() => {}))
  await shows(list, ({ loaded, live }) => loaded && live)
  await elsewhere.tasks.create({ title: 'One' })
  await shows(list, (shown) => titles(shown) === 'One')
  t.equal((await here.tasks.create({ title: 'Two' })).title, 'Two')
  t.same(list.getSnapshot().pending.size, 0)
  t.equal(metric(service.app, 'streams'), 1)
  leave()
  await until(() => errors.length > 3)
})

t.test('a draft that the service will refuse can be shown until then', async (t) => {
  const service = await serve(t)
  const tab = clientFor(t, service)
  await tab.tasks.create({ title: 'Kept', dueAt: '2030-01-01T00:00:00Z' })
  const list = live(tab.tasks, { sort: 'dueAt' })
  t.teardown(list.subscribe(() => list.getSnapshot()))
  await shows(list, ({ loaded, live }) => loaded && live)
  for (const draft of [
    { id: 'temp-1', title: 'x' },
    { title: 'x', dueAt: '2030-13-01T00:00:00Z' },
    { title: 'x', dueAt: '2016-12-31T23:59:70Z' }
  ]) {
    const created = tab.tasks.create(draft)
    t.equal(list.getSnapshot().rows.length, 2)
    await t.rejects(created, { code: 'validation_failed' })
  }
  const named = await tab.tasks.create({ id: undefined, title: 'An id that is undefined' } as { title: string })
  t.equal(named.version, 1)
  t.equal(list.getSnapshot().rows.length, 2)
})

t.test('a page that a proxy answers with 200 is a problem', async (t) => {
  const service = await serve(t)
  const { tasks } = clientFor(t, service)
  for (const body of ['<h1>Sign in to this network</h1>', '']) {
    service.faultNext('GET', { status: 200, headers: { 'content-type': 'text/html' }, body })
    await t.rejects(tasks.page(), { code: 'unrecognized_answer', status: 200 })
  }
})

t.test('who signs out in a tab that does not listen is signed out in those that do', async (t) => {
  withLocks(t, new Locks())
  const service = await serve(t)
  const user = newUser()
  const [one, two] = [clientFor(t, service, user), clientFor(t, service, user)]
  const ended = new Promise<void>((resolve) => one.client.onSignedOut(resolve))
  t.teardown(one.client.changes().subscribe(() => {}))
  await until(() => one.client.changes().live)
  await two.tasks.page()
  two.client.signOut()
  await ended
  await new Promise<void>((resolve) => one.client.onSignedOut(resolve))
  const three = clientFor(t, service)
  three.client.signOut()
  await t.rejects(three.tasks.page(), { code: 'signed_out' })
})

t.test('a clock that is put right is used from then on', async (t) => {
  const service = await serve(t)
  const { tasks } = clientFor(t, service)
  const { now } = Date
  Date.now = () => now() + 2 * 86_400_000
  const creating = tasks.create({ title: 'Two days ahead' })
  Date.now = now
  await t.rejects(creating, { code: 'validation_failed' })
  t.equal((await tasks.create({ title: 'Now' })).version, 1)
})

t.test('an answer that is older than a deletion, or than a new item of that id, changes nothing', async (t) => {
  const service = await serve(t)
  const [here, elsewhere] = [clientFor(t, service, 'd'), clientFor(t, service, 'd')]
  const { id } = await elsewhere.tasks.create({ title: 'One' })
  const list = live(here.tasks)
  t.teardown(list.subscribe(() => {}))
  await shows(list, ({ loaded, live }) => loaded && live)
  const { request } = here.tasks.service
  let answer = () => {}
  const hold = () => {
    const held = new Promise<void>((resolve) => (answer = resolve))
    here.tasks.service.request = async (...given) => {
      const found = await request(...given)
      await held
      return found
    }
  }
  hold()
  const changing = here.tasks.change(id, { title: 'Late' })
  here.tasks.service.request = request
  await until(() => service.count('PATCH') === 1)
  await shows(list, ({ rows }) => rows[0]?.version === 2)
  await elsewhere.tasks.remove(id)
  await shows(list, ({ rows, pending }) => rows.length === 0 && pending.size === 0)
  await list.reload()
  answer()
  await changing
  t.equal(titles(list.getSnapshot()), '')

  await elsewhere.tasks.create({ id, title: 'Again' })
  await shows(list, (shown) => titles(shown) === 'Again')
  hold()
  const removing = here.tasks.remove(id)
  here.tasks.service.request = request
  await until(() => service.count('DELETE') === 2)
  // The item is hidden while its removal is pending, so this is told behind it.
  await until(() => true)
  await elsewhere.tasks.create({ id, title: 'Once more' }).catch(() => {})
  const told = clientFor(t, service, 'd')
  const other = live(told.tasks)
  t.teardown(other.subscribe(() => {}))
  await shows(other, (shown) => titles(shown) === 'Once more')
  const marked = new Promise<void>((resolve) => {
    const leave = here.client.changes().subscribe((change) => {
      if (change.type !== 'created' || (change.item as Task | null)?.title !== 'A mark') return
      leave()
      resolve()
    })
  })
  await elsewhere.tasks.create({ title: 'A mark' })
  await marked
  answer()
  await removing
  t.equal(titles(list.getSnapshot()), 'A mark,Once more')
})

t.test('pages that are asked for at once are loaded one after the other, and drop no reload', async (t) => {
  const service = await serve(t)
  const [here, elsewhere] = [clientFor(t, service, 'p'), clientFor(t, service, 'p')]
  await here.tasks.batch({ create: Array.from({ length: 8 }, (_, i) => ({ title: `${i}` })) })
  const list = live(here.tasks, { limit: 2, sort: 'title' })
  t.teardown(list.subscribe(() => {}))
  await shows(list, ({ loaded, live }) => loaded && live)
  const first = list.reload()
  const more = [list.more(), list.more()]
  const second = list.reload()
  await Promise.all([first, second, ...more])
  t.equal(titles(list.getSnapshot()), '0,1,2,3,4,5')
  await elsewhere.tasks.create({ title: '00' })
  await shows(list, (shown) => titles(shown) === '0,00,1,2,3,4,5')
})

t.test('a stream that a proxy ends without a word waits longer each time', async (t) => {
  const service = await serve(t)
  const timers = holdTimers(t, (ms) => ms % 1 !== 0)
  const fault = { status: 200, headers: { 'content-type': 'text/event-stream' }, body: '' }
  service.fault(({ url }) => (url?.includes('/events') ? fault : undefined))
  t.teardown(
    clientFor(t, service)
      .client.changes()
      .subscribe(() => {})
  )
  const waits: number[] = []
  for (let i = 0; i < 4; i++) waits.push(await timers.fire())
  t.ok((waits[3] ?? 0) >= 8000, waits.join())
  service.fault(() => problem(503, 'unavailable'))
})

const RULES = {
  matches: () => true,
  compare: (a: Record<string, unknown>, b: Record<string, unknown>) => (String(a.id) < String(b.id) ? -1 : 1),
  defaults: { title: null, completed: false }
}

/** Rows whose clock the test moves by each thing that happens. */
function rows() {
  let now = 0
  const known = new Rows<{ id: string; version: number }>(() => ++now)
  const shown = (...pending: Pending[]) =>
    known
      .show(RULES, pending)
      .rows.map(({ id, version }) => `${id}${version}`)
      .join(' ')
  return { known, shown, now: () => now }
}

t.test('an update that was before a deletion does not bring the item back, a create does (issue 22)', async (t) => {
  const { known, shown } = rows()
  known.tell({ id: 'a', version: 1 }, true)
  known.remove('a')
  known.tell({ id: 'a', version: 2 }, false)
  t.equal(shown(), '')
  known.tell({ id: 'a', version: 1 }, true)
  t.equal(shown(), 'a1')
  known.remove('a')
  for (let i = 0; i < 1000; i++) known.remove(`${i}`)
  known.tell({ id: 'a', version: 3 }, false)
  t.equal(shown(), 'a3', 'the oldest of many deletions is forgotten')
})

t.test('a removal leaves an item that was created again since it was asked for (issue 22)', async (t) => {
  const { known, shown, now } = rows()
  known.tell({ id: 'a', version: 1 }, true)
  const since = now()
  known.remove('a', since)
  known.tell({ id: 'a', version: 1 }, true)
  known.remove('a', since)
  t.equal(shown(), 'a1')
})

t.test('an update that was before the removal of an item that is not loaded does not show it (issue 22)', async (t) => {
  const { known, shown, now } = rows()
  known.remove('a', now())
  known.tell({ id: 'a', version: 2 }, false)
  t.equal(shown(), '')
})

t.test('a reload forgets what is gone, and keeps what was told since it was sent (issue 22)', async (t) => {
  const { known, shown, now } = rows()
  const items = ['a', 'b'].map((id) => ({ id, version: 1 }))
  known.addPages(items, true, now())
  const since = now()
  known.tell({ id: 'c', version: 1 }, true)
  known.clear(since)
  known.addPages([{ id: 'b', version: 2 }], true, since)
  t.equal(shown(), 'b2 c1')
})

t.test('a pending create is shown until its item is known, or known to be gone (issue 22)', async (t) => {
  const { known, shown, now } = rows()
  const id = '019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708'
  const write: Pending = { kind: 'create', id, members: { title: 'x' }, since: now() }
  t.match(known.show(RULES, [write]).rows, [
    { id, version: 0, title: 'x', completed: false, createdAt: '2025-11-24T02:49:41.998+00:00' }
  ])
  known.tell({ id, version: 1 }, true)
  t.same(known.show(RULES, [write]), { rows: [{ id, version: 1 }], pending: new Set() })
  known.remove(id)
  t.same(known.show(RULES, [write]), { rows: [], pending: new Set() })
  t.equal(shown({ kind: 'change', id: 'x', members: {}, version: undefined, since: 0 }), '')
})
