import { QueryClient, QueryObserver } from '@tanstack/query-core'
import t, { type Test } from 'tap'
import { itemOptions, listOptions, syncQueries } from '../../client/query.ts'
import { uuidv7 } from '../../client/uuid.ts'
import { until } from '../support/key-server.ts'
import { clientFor, problem, serve, type Task } from './kit.ts'

type Tab = ReturnType<typeof clientFor>

/** A cache that is kept current, and a list and an item in it that somebody looks at. */
async function cached(t: Test, { tasks }: Tab, query: { limit?: number; completed?: boolean } = {}, id?: string) {
  const queries = new QueryClient({
    defaultOptions: { queries: { retry: false, staleTime: Number.POSITIVE_INFINITY } }
  })
  const stop = syncQueries(queries, [tasks])
  const list = new QueryObserver(queries, listOptions(tasks, query))
  const item = new QueryObserver(queries, { ...itemOptions(tasks, id ?? ''), enabled: id !== undefined })
  const leave = [list.subscribe(() => {}), item.subscribe(() => {})]
  t.teardown(() => {
    stop()
    for (const one of leave) one()
    queries.clear()
  })
  const titles = () =>
    list
      .getCurrentResult()
      .data?.map(({ title }: Task) => title)
      .join()
  await until(
    () => tasks.service.changes.live && list.getCurrentResult().fetchStatus === 'idle' && titles() !== undefined
  )
  return { queries, list, item, titles, stop }
}

t.test(
  'what happens to items here and elsewhere is in the cache, and nothing is loaded again (issue 22)',
  async (t) => {
    const service = await serve(t)
    const [here, elsewhere] = [clientFor(t, service, 'q'), clientFor(t, service, 'q')]
    const one = await here.tasks.create({ title: 'One' })
    const { titles, item } = await cached(t, here, { limit: 3, completed: false }, one.id)
    await until(() => item.getCurrentResult().data?.title === 'One' && item.getCurrentResult().fetchStatus === 'idle')
    const loads = service.count('GET')
    const two = await elsewhere.tasks.create({ title: 'Two' })
    await until(() => titles() === 'Two,One')
    await here.tasks.change(one.id, { title: 'Uno' })
    await until(() => titles() === 'Two,Uno' && item.getCurrentResult().data?.title === 'Uno')
    await elsewhere.tasks.change(two.id, { completed: true })
    await until(() => titles() === 'Uno')
    await elsewhere.tasks.batch({ create: [{ title: 'Three' }, { title: 'Four' }, { title: 'Five' }] })
    await until(() => titles() === 'Five,Four,Three,Uno')
    await elsewhere.tasks.change(one.id, { description: 'x' })
    await until(() => item.getCurrentResult().data?.description === 'x')
    t.equal(titles(), 'Five,Four,Three,Uno')
    t.equal(service.count('GET'), loads)
    await here.tasks.remove(one.id)
    await until(() => item.getCurrentResult().error !== null)
    t.match(item.getCurrentResult().error, { code: 'task_not_found' })
    await until(() => titles() === 'Five,Four,Three')
    await elsewhere.tasks.create({ title: 'On a later page', id: uuidv7(Date.now() - 60_000) })
    await elsewhere.tasks.create({ title: 'Six' })
    await until(() => titles()?.startsWith('Six') ?? false)
    t.equal(titles(), 'Six,Five,Four,Three')
  }
)

t.test('a load that is older than a change does not overwrite it, nor does an older version (issue 22)', async (t) => {
  const service = await serve(t)
  const [here, elsewhere] = [clientFor(t, service, 'w'), clientFor(t, service, 'w')]
  const one = await here.tasks.create({ title: 'One' })
  const { queries, titles, list, item } = await cached(t, here, {}, one.id)
  await until(() => item.getCurrentResult().data !== undefined)
  let answer = () => {}
  const hold = () => new Promise<void>((resolve) => (answer = resolve))
  let held = hold()
  const { page } = here.tasks
  here.tasks.page = async (...given) => {
    const found = await page.apply(here.tasks, given)
    await held
    return found
  }
  const loads = service.lists()
  list.refetch()
  await until(() => service.lists() === loads + 1)
  await elsewhere.tasks.change(one.id, { title: 'Two' })
  await until(() => titles() === 'Two')
  answer()
  await until(() => list.getCurrentResult().fetchStatus === 'idle')
  t.equal(titles(), 'Two')
  // The first load of another list, which nobody looks at.
  held = hold()
  const first = queries.fetchQuery(listOptions(here.tasks, { limit: 7 }))
  await until(() => service.seen.some(({ url }) => url === '/api/tasks?limit=7'))
  await elsewhere.tasks.change(one.id, { title: 'Three' })
  await until(() => titles() === 'Three')
  answer()
  t.match(await first, [{ title: 'Three' }])
  here.tasks.writes.found([one], 0)
  await here.tasks.get(one.id)
  t.match([titles(), item.getCurrentResult().data?.title], ['Three', 'Three'])
})

t.test(
  'when changes may be missing, or the rules are not there, the queries are loaded again (issue 22)',
  async (t) => {
    const service = await serve(t)
    const [here, elsewhere] = [clientFor(t, service, 'm'), clientFor(t, service, 'm')]
    service.fault(({ url }) => (url === '/openapi.json' ? problem(503, 'unavailable') : undefined))
    const { titles, stop } = await cached(t, here)
    await elsewhere.tasks.create({ title: 'One' })
    await until(() => titles() === 'One')
    stop()
    await elsewhere.tasks.create({ title: 'Two' })
    t.equal(titles(), 'One')
  }
)
