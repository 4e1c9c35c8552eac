import t from 'tap'
import { Problem } from '../../client/index.ts'
import { clientFor, serve } from './kit.ts'

const UNKNOWN = '00000000-0000-4000-8000-000000000000'

t.test('a resource lists, gets, creates, changes, removes and does batches (issue 22)', async (t) => {
  const service = await serve(t)
  const { tasks } = clientFor(t, service)
  const made = []
  for (const title of ['One', 'Two', 'Three']) made.unshift(await tasks.create({ title }))
  t.match(made[0], { title: 'Three', completed: false, version: 1 })
  const listed = []
  for await (const task of tasks.list({ limit: 2 })) listed.push(task)
  t.same(listed, made)
  const sizes = []
  for await (const { items, total } of tasks.list({ limit: 2, count: 'exact' }).pages())
    sizes.push([items.length, total])
  t.same(sizes, [
    [2, 3],
    [1, 3]
  ])
  const [task] = made
  const id = task?.id ?? ''
  t.same(await tasks.get(id), task)
  t.match(await tasks.change(id, { completed: true }), { completed: true, version: 2 })
  const done = await tasks.batch({
    create: [{ title: 'Four' }],
    update: [{ id, version: 2, change: { title: 'Third' } }],
    delete: [{ id: made[1]?.id ?? '' }]
  })
  t.match(done, { created: [{ title: 'Four' }], updated: [{ title: 'Third' }], deleted: [made[1]?.id] })
  await tasks.remove(id, { version: 3 })
  await t.rejects(tasks.get(id), { name: 'Problem', code: 'task_not_found', status: 404 })
  await tasks.remove(id)
})

t.test('an error is a problem with its pointers and the id of the request (issue 22)', async (t) => {
  const service = await serve(t)
  const { tasks, client } = clientFor(t, service)
  const error: unknown = await tasks.create({ title: '' }).catch((error) => error)
  if (!(error instanceof Problem)) return t.fail('no problem')
  t.match(error, { status: 400, code: 'validation_failed', message: 'The request does not fit the schema' })
  t.equal(error.at('/title'), 'must NOT have fewer than 1 characters')
  t.equal(error.at('/other'), undefined)
  t.match(error.requestId, /^[\w-]{36}$/)
  service.faultNext('GET', { status: 502, headers: { 'content-type': 'text/html' }, body: '<h1>Bad gateway</h1>' })
  await t.rejects(tasks.get(UNKNOWN), { name: 'Problem', status: 502, code: 'unrecognized_answer', errors: [] })
  const session = await client.api.GET('/api/session')
  t.ok(session.data?.user?.sub)
})

t.test('a batch may create nothing, and a rebase needs a version that the client still knows (issue 22)', async (t) => {
  const service = await serve(t)
  const { tasks } = clientFor(t, service)
  const { id } = await tasks.create({ title: 'One' })
  await tasks.batch({ update: [{ id, change: { title: 'Two' } }] })
  for (let version = 1; version <= 1000; version++) tasks.learn([{ id: 'another', version }])
  const late = tasks.change(id, { completed: true }, { version: 1, rebase: true })
  await t.rejects(late, { code: 'precondition_failed' })
})

t.test('a URL is relative to the page, and an answer may have no body (issue 22)', async (t) => {
  const service = await serve(t)
  t.intercept(
    globalThis,
    'location' as never,
    { value: { href: `${service.url}/app/#/` }, configurable: true } as never
  )
  const { tasks, client } = clientFor(t, { url: '/' })
  const { id } = await tasks.create({ title: 'One' })
  const get = client.api.GET as (path: string, init: object) => Promise<{ response: Response }>
  const headers = { 'if-none-match': '"1"' }
  t.equal((await get('/api/tasks/{id}', { params: { path: { id } }, headers })).response.status, 304)
})
