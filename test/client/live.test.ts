import t, { type Test } from 'tap'
import { live, type Problem } from '../../client/index.ts'
import { uuidv7 } from '../../client/uuid.ts'
import { mount } from '../contract/mount.ts'
import { tokenFor } from '../support/app.ts'
import { until } from '../support/key-server.ts'
import samples from '../support/samples.ts'
import { holdTimers } from '../support/timers.ts'
import { clientFor, problem, type Query, serve, shows, type Tab, type Task, watch } from './kit.ts'

const titles = ({ rows }: { rows: readonly Task[] }) => rows.map(({ title }) => title)

async function listed(t: Test, tab: Tab, query: Query = {}) {
  const list = watch(t, tab, query)
  await shows(list, ({ loaded, live }) => loaded && live)
  return list
}

t.test('a live query shows its list, and what is changed here and elsewhere (issue 22)', async (t) => {
  const service = await serve(t)
  const [here, elsewhere] = [clientFor(t, service, 'u'), clientFor(t, service, 'u')]
  await here.tasks.create({ title: 'First' })
  const list = watch(t, here)
  t.same(list.getSnapshot().rows, [])
  t.equal(list.getSnapshot().loaded, false)
  await shows(list, ({ loaded, live }) => loaded && live)
  t.equal(list.getSnapshot(), list.getSnapshot())
  t.same(titles(list.getSnapshot()), ['First'])
  const loads = service.lists()
  const second = await elsewhere.tasks.create({ title: 'Second' })
  await shows(list, (shown) => titles(shown).join() === 'Second,First')
  await here.tasks.change(second.id, { title: 'Changed' })
  t.same(titles(list.getSnapshot()), ['Changed', 'First'], 'the answer is there before the stream')
  await elsewhere.tasks.remove(second.id)
  await shows(list, (shown) => titles(shown).join() === 'First')
  t.equal(service.lists(), loads, 'nothing was loaded again')
})

t.test('a write is shown until its answer, and taken back when it fails (issue 22)', async (t) => {
  const service = await serve(t)
  const tab = clientFor(t, service)
  const { tasks } = tab
  const kept = await tasks.create({ title: 'Kept' })
  const list = await listed(t, tab)
  service.faultNext('POST', problem(400, 'validation_failed'))
  const creating = tasks.create({ title: 'New' })
  const shown = list.getSnapshot()
  const [draft] = shown.rows
  t.match(draft, {
    title: 'New',
    completed: false,
    description: null,
    dueAt: null,
    version: 0,
    updatedAt: draft?.createdAt
  })
  t.same([...shown.pending], [draft?.id])
  await t.rejects(creating, { code: 'validation_failed' })
  t.same(titles(list.getSnapshot()), ['Kept'])
  t.equal(list.getSnapshot().pending.size, 0)

  service.faultNext('PATCH', problem(500, 'internal_error'))
  const changing = tasks.change(kept.id, { completed: true })
  t.match(list.getSnapshot().rows, [{ completed: true, version: 1 }])
  await t.rejects(changing, { code: 'internal_error' })
  t.match(list.getSnapshot().rows, [{ completed: false }])

  service.faultNext('DELETE', problem(409, 'still_referenced'))
  const removing = tasks.remove(kept.id)
  t.same(list.getSnapshot().rows, [])
  await t.rejects(removing, { code: 'still_referenced' })
  t.same(titles(list.getSnapshot()), ['Kept'])

  const batch = tasks.batch({
    create: [{ title: 'Two' }],
    update: [{ id: kept.id, change: { title: 'Renamed' } }],
    delete: []
  } as object)
  t.same(titles(list.getSnapshot()), ['Two', 'Renamed'])
  await t.rejects(batch, { code: 'validation_failed' })
  await tasks.batch({ create: [{ title: 'Two' }], delete: [{ id: kept.id }] })
  t.same(titles(list.getSnapshot()), ['Two'])
  const id = uuidv7(Date.now() - 60_000)
  await tasks.create({ title: 'Earlier', id })
  t.same(titles(list.getSnapshot()), ['Two', 'Earlier'], 'it is in the order of creation by its id')
})

t.test(
  'a change of a version ends with a newer one, which the 412 carries; a rebase keeps both (issue 22)',
  async (t) => {
    const service = await serve(t)
    const [here, elsewhere] = [clientFor(t, service, 'r'), clientFor(t, service, 'r')]
    const { id } = await here.tasks.create({ title: 'One' })
    const list = await listed(t, here)
    await elsewhere.tasks.change(id, { title: 'Theirs' })
    await shows(list, (shown) => titles(shown).join() === 'Theirs')
    const stale = here.tasks.change(id, { title: 'Mine' }, { version: 1 })
    t.same(titles(list.getSnapshot()), ['Theirs'], 'it will be refused')
    await t.rejects(stale, { code: 'precondition_failed', current: { title: 'Theirs', version: 2 } })
    const error: Problem = await stale.catch((error) => error)
    t.match(error.requestId, /./)
    t.match(await here.tasks.change(id, { completed: true }, { version: 1, rebase: true }), {
      title: 'Theirs',
      completed: true,
      version: 3
    })
    await t.rejects(here.tasks.change(id, { title: 'Mine' }, { version: 1, rebase: true }), {
      code: 'precondition_failed'
    })
    await t.rejects(elsewhere.tasks.change(id, { description: 'x' }, { version: 1, rebase: true }), {
      code: 'precondition_failed'
    })
    t.match(await here.tasks.change(id, { completed: true }, { version: 2 }), { version: 3 }, 'it is so already')
    await t.rejects(here.tasks.remove(id, { version: 1 }), { code: 'precondition_failed', current: { version: 3 } })
    service.fault(({ method }) => (method === 'PATCH' ? problem(412, 'precondition_failed') : undefined))
    await t.rejects(here.tasks.change(id, { title: 'x' }, { version: 3, rebase: true }), {
      code: 'precondition_failed'
    })
    t.equal(service.seen.filter(({ method, headers }) => method === 'PATCH' && headers['if-match'] === '"3"').length, 6)
  }
)

t.test('pages are loaded one after the other, and again after a reload (issue 22)', async (t) => {
  const service = await serve(t)
  const tab = clientFor(t, service)
  const { tasks } = tab
  await tasks.batch({ create: Array.from({ length: 7 }, (_, i) => ({ title: `${i}` })) })
  const list = await listed(t, tab, { limit: 2, sort: 'title' })
  t.same(titles(list.getSnapshot()), ['0', '1'])
  t.equal(list.getSnapshot().hasMore, true)
  await Promise.all([list.more(), list.more()])
  t.same(titles(list.getSnapshot()), ['0', '1', '2', '3', '4', '5'])
  await tasks.create({ title: '55' })
  t.equal(list.getSnapshot().rows.length, 6, 'it is on a later page')
  await tasks.create({ title: '00' })
  t.equal(list.getSnapshot().rows.length, 7)
  await list.reload()
  t.same(titles(list.getSnapshot()), ['0', '00', '1', '2', '3', '4'])
  await list.more()
  await list.more()
  t.same([titles(list.getSnapshot()).length, list.getSnapshot().hasMore], [9, false])
  await list.more()
  service.faultNext('GET', problem(500, 'internal_error'))
  await list.reload()
  t.match(list.getSnapshot(), { error: { code: 'internal_error' }, loaded: true })
  await list.reload()
  t.equal(list.getSnapshot().error, undefined)
})

t.test('without a stream there is still the list, and it comes as soon as it can (issue 22)', async (t) => {
  const service = await serve(t)
  const tab = clientFor(t, service)
  await tab.tasks.create({ title: 'One' })
  service.fault(({ url }) => (url?.includes('/events') ? problem(503, 'unavailable') : undefined))
  const list = watch(t, tab)
  await shows(list, ({ loaded }) => loaded)
  t.equal(list.getSnapshot().live, false)
  const other = watch(t, tab, { completed: true })
  await shows(other, ({ loaded }) => loaded)

  const failing = clientFor(t, service)
  service.fault(({ url }) => (url?.includes('/events') ? undefined : problem(500, 'internal_error')))
  const late = watch(t, failing)
  await shows(late, ({ error }) => error !== undefined)
  service.fault(() => undefined)
  service.cutAll()
  await shows(late, ({ loaded, error }) => loaded && error === undefined)
})

t.test('the document is read once, and again after it could not be (issue 22)', async (t) => {
  const service = await serve(t)
  const timers = holdTimers(t, (ms) => ms % 1 !== 0)
  const hurry = setInterval(() => timers.runAll(), 5)
  t.teardown(() => clearInterval(hurry))
  const tab = clientFor(t, service)
  let broken: Parameters<typeof service.faultNext>[1] | undefined = 'cut before'
  service.fault(({ url }) => (url === '/openapi.json' ? broken : undefined))
  const list = watch(t, tab)
  await shows(list, ({ error }) => (error as Problem | undefined)?.code === 'connection_lost')
  broken = problem(404, 'not_found')
  await list.reload()
  t.match(list.getSnapshot().error, { code: 'not_found' })
  broken = undefined
  await list.reload()
  await list.reload()
  t.equal(list.getSnapshot().loaded, true)
  t.equal(service.count('GET', '/openapi.json'), 6, 'a lost connection is tried again, as for every request')
})

t.test('what is known of an item is never replaced by something older (issue 22)', async (t) => {
  const service = await serve(t)
  const [here, elsewhere] = [clientFor(t, service, 'o'), clientFor(t, service, 'o')]
  const { id } = await elsewhere.tasks.create({ title: 'One' })
  const list = await listed(t, here)
  // A list that was asked for before a change and a deletion, and arrives after them.
  let answer = () => {}
  const held = new Promise<void>((resolve) => (answer = resolve))
  const { page } = here.tasks
  here.tasks.page = async (...given) => {
    const found = await page.apply(here.tasks, given)
    await held
    return found
  }
  const gone = await elsewhere.tasks.create({ title: 'Gone' })
  await shows(list, ({ rows }) => rows.length === 2)
  const loading = list.reload()
  await until(() => service.lists() === 2)
  await elsewhere.tasks.change(id, { title: 'Two' })
  await elsewhere.tasks.remove(gone.id)
  const added = await elsewhere.tasks.create({ title: 'Added' })
  await shows(list, (shown) => titles(shown).join() === 'Added,Two')
  answer()
  await loading
  t.same(titles(list.getSnapshot()), ['Added', 'Two'])
  await elsewhere.tasks.remove(added.id)
  await shows(list, (shown) => titles(shown).join() === 'Two')
  // An undo creates the item again, under the same id.
  await elsewhere.tasks.create({ title: 'Added', id: added.id })
  await shows(list, (shown) => titles(shown).join() === 'Added,Two')
})

t.test('a list that nobody listens to ends, and goes on for who listens again (issue 22)', async (t) => {
  const service = await serve(t)
  const tab = clientFor(t, service)
  const list = live(tab.tasks)
  const first = list.subscribe(() => {})
  first()
  const second = list.subscribe(() => {})
  await shows(list, ({ loaded, live }) => loaded && live)
  t.equal(service.count('GET', '/api/events'), 1, 'a component that is mounted again in the same turn')
  second()
  await until(() => service.app.metrics.find(({ name }) => name === 'streams')?.read() === 0)
  await tab.tasks.create({ title: 'Meanwhile' })
  const third = list.subscribe(() => {})
  await shows(list, (shown) => shown.live && titles(shown).join() === 'Meanwhile')
  third()
})

t.test('a list that is listened to again in the same turn survives the end of its client (issue 22)', async (t) => {
  const service = await serve(t)
  const tab = clientFor(t, service)
  const list = live(tab.tasks)
  // React in its strict mode: mounts, unmounts, which ends the client, and mounts again.
  const first = list.subscribe(() => {})
  first()
  tab.client.close()
  t.teardown(list.subscribe(() => {}))
  await shows(list, ({ loaded, live }) => loaded && live)
  await clientFor(t, service, tab.user).tasks.create({ title: 'From elsewhere' })
  await shows(list, (shown) => titles(shown).join() === 'From elsewhere')
})

t.test('of two loads the later one counts, and a page that a reload overtook is not added (issue 22)', async (t) => {
  const service = await serve(t)
  const tab = clientFor(t, service)
  await tab.tasks.batch({ create: Array.from({ length: 5 }, (_, i) => ({ title: `${i}` })) })
  const list = await listed(t, tab, { limit: 2, sort: 'title' })
  await Promise.all([list.reload(), list.reload()])
  t.same(titles(list.getSnapshot()), ['0', '1'])
  await Promise.all([list.more(), list.reload()])
  t.same(titles(list.getSnapshot()), ['0', '1'])
  t.equal(list.getSnapshot().hasMore, true)
  await list.more()
  t.same(titles(list.getSnapshot()), ['0', '1', '2', '3'])
  await list.reload()
  t.same(titles(list.getSnapshot()), ['0', '1', '2', '3'])
})

t.test('a list takes no notice of the changes of another resource (issue 22)', async (t) => {
  const service = await serve(t, {}, (app) => mount(app, samples))
  const tab = clientFor(t, service)
  const list = await listed(t, tab)
  const told: string[] = []
  t.teardown(tab.client.changes().subscribe((change) => 'resource' in change && told.push(change.resource)))
  const headers = { authorization: `Bearer ${tokenFor(tab.user)}`, 'content-type': 'application/json' }
  await fetch(`${service.url}/api/samples`, { method: 'POST', headers, body: '{"label":"Sample"}' })
  await until(() => told.join() === 'samples')
  t.same(list.getSnapshot().rows, [])
})
