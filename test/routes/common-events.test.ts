import { sql } from 'drizzle-orm'
import t, { type Test } from 'tap'
import type { Owner } from '../../src/auth/user.ts'
import { FeedStore } from '../../src/changes/feed.ts'
import { streamOf } from '../../src/changes/stream.ts'
import { HEARTBEAT_MS, WakeUp } from '../../src/changes/wake-up.ts'
import { tasks } from '../../src/db/schema.ts'
import type { App } from '../../src/http/application.ts'
import { asUser, newUser } from '../support/app.ts'
import { type Watch, watch } from '../support/events.ts'
import { samples } from '../support/samples.ts'
import { serveSamples } from '../support/serve-samples.ts'
import { holdTimers } from '../support/timers.ts'

const ALL = '/api/events'
const BOTH = `${ALL}?resource=tasks&resource=samples`
const TWIN = '019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708'

/** A route that creates a task and a sample of one id, and one that tells how a stream of both loads its items. */
function beside(api: App): void {
  const id = sql`${sql.placeholder('id')}`
  const task = api
    .owned(tasks, { recorded: true })
    .prepare((own) => own.insert({ id, title: 'A' }).returning({ id: tasks.id }))
  const sample = api
    .owned(samples, { recorded: true })
    .prepare((own) => own.insert({ id, label: 'B', token: id }).returning({ id: samples.id }))
  api.post('/twins', async ({ user: { sub } }) => {
    await task(sub, { id: TWIN })
    return sample(sub, { id: TWIN })
  })
  api.get('/stepwise', async ({ user: { sub } }) => {
    const loads: [string, number][] = []
    const load = (resource: string) => async (_owner: Owner, ids: string[]) => {
      loads.push([resource, ids.length])
      return []
    }
    const sources = ['tasks', 'samples'].map((resource) => ({ resource, member: 'item', load: load(resource) }))
    const store = new FeedStore(api.owned)
    const feed = await store.open(sub)
    const events = streamOf(store, sub, sources, feed, String(feed.seq - 6), new WakeUp())
    const steps: number[] = []
    for (let step = 0; step < 7; step++) {
      await events.next()
      steps.push(loads.length)
    }
    await events.return(undefined)
    return { loads, steps }
  })
}

t.test('the stream of several resources', async (t) => {
  const app = await serveSamples(t, beside)
  // Without heartbeats, a test that passes has received its events at once.
  holdTimers(t, HEARTBEAT_MS)
  const send = async (user: string, method: 'POST' | 'PATCH' | 'DELETE', path: string, payload?: object) =>
    (await app.inject({ method, url: `/api/${path}`, headers: asUser(user), ...(payload && { payload }) })).json()
  const newTask = (user: string) => send(user, 'POST', 'tasks', { title: 'Buy milk' })
  const newSample = (user: string) => send(user, 'POST', 'samples', { label: 'one' })
  const open = async (t: Test, user: string, url: string) => {
    const stream = await watch(t, app, user, { url })
    t.match(await stream.next(), { event: 'reload' })
    return stream
  }
  /** The next `n` events: their kinds and their data. */
  const told = async (stream: Watch, n = 1) => {
    const all: unknown[][] = []
    while (all.length < n) {
      const event = await stream.next()
      all.push([event?.event, JSON.parse(String(event?.data))])
    }
    return all
  }

  t.test("tells the changes of all the user's resources in their order, and nobody else's", async (t) => {
    const [alice, bob] = [newUser('alice'), newUser('bob')]
    const stream = await open(t, alice, ALL)
    const others = await open(t, bob, `${ALL}?userId=${alice}&sub=${alice}`)
    t.equal(stream.response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    const [start, task] = [Number(stream.lastId), await newTask(alice)]
    t.same(await told(stream), [['created', { resource: 'tasks', id: task.id, version: 1, task }]])
    const sample = await newSample(alice)
    t.same(await told(stream), [['created', { resource: 'samples', id: sample.id, version: 1, sample }]])
    const changed = await send(alice, 'PATCH', `tasks/${task.id}`, { completed: true })
    t.same(await told(stream), [['updated', { resource: 'tasks', id: task.id, version: 2, task: changed }]])
    await send(alice, 'DELETE', `samples/${sample.id}`)
    const deleted = { event: 'deleted', data: JSON.stringify({ resource: 'samples', id: sample.id, version: 1 }) }
    t.match(await stream.next(), deleted)
    t.equal(Number(stream.lastId), start + 4, 'in one sequence')
    const own = await newSample(bob)
    t.same(await others.changes(1), [['created', own.id, 1]])
  })

  t.test('tells only the changes of those that are named, once each', async (t) => {
    const user = newUser()
    const stream = await open(t, user, `${ALL}?resource=samples`)
    const start = Number(stream.lastId)
    const both = await open(t, user, `${BOTH}&resource=tasks`)
    const [task, sample] = [await newTask(user), await newSample(user)]
    t.same(await told(stream), [['created', { resource: 'samples', id: sample.id, version: 1, sample }]])
    t.equal(Number(stream.lastId), start + 2)
    t.same(await both.changes(2), [
      ['created', task.id, 1],
      ['created', sample.id, 1]
    ])
    const next = await newSample(user)
    for (const one of [stream, both]) t.same(await one.changes(1), [['created', next.id, 1]])
  })

  t.test('goes on where a stream ended, also one of other resources', async (t) => {
    const user = newUser()
    const first = await open(t, user, '/api/tasks/events')
    await newTask(user)
    await first.changes(1)
    first.close()
    const expected: unknown[][] = []
    for (let times = 0; times < 20; times++) {
      const [task, { id }] = [await newTask(user), await newSample(user)]
      const sample = await send(user, 'PATCH', `samples/${id}`, { label: 'two' })
      expected.push(
        ['created', { resource: 'tasks', id: task.id, version: 1, task }],
        ['created', { resource: 'samples', id, version: 1, sample }],
        ['updated', { resource: 'samples', id, version: 2, sample }]
      )
    }
    const gone = await newTask(user)
    await send(user, 'DELETE', `tasks/${gone.id}`)
    expected.push(
      ['created', { resource: 'tasks', id: gone.id, version: 1, task: null }],
      ['deleted', { resource: 'tasks', id: gone.id, version: 1 }]
    )
    const again = await watch(t, app, user, { url: ALL, lastId: first.lastId })
    t.same(await told(again, expected.length), expected, 'with items as they are now')
    const { id } = await newSample(user)
    t.same(await again.changes(1), [['created', id, 1]], 'then what comes')
  })

  t.test('tells an item by its resource and its id', async (t) => {
    const user = newUser()
    const { lastId } = await open(t, user, ALL)
    await send(user, 'POST', 'twins')
    const stream = await watch(t, app, user, { url: ALL, lastId })
    t.match(await told(stream, 2), [
      ['created', { resource: 'tasks', id: TWIN, task: { title: 'A' } }],
      ['created', { resource: 'samples', id: TWIN, sample: { label: 'B' } }]
    ])
  })

  t.test('loads the items of four changes at a time, whatever resources they are of', async (t) => {
    const user = newUser()
    await open(t, user, ALL)
    for (let times = 0; times < 3; times++) {
      await newTask(user)
      await newSample(user)
    }
    const { loads, steps } = (await app.inject({ url: '/api/stepwise', headers: asUser(user) })).json()
    t.same(loads, [
      ['tasks', 2],
      ['samples', 2],
      ['tasks', 1],
      ['samples', 1]
    ])
    // The first step sends the reconnection time.
    t.same(steps, [0, 2, 2, 2, 2, 4, 4])
  })

  t.test('needs the scope of each resource that is named, or else tells what the token may read', async (t) => {
    const list = await app.inject({ url: '/api/tasks', headers: asUser('alice', { scope: 'tasks:write' }) })
    for (const [url, scope] of [
      [ALL, 'tasks:write samples:write'],
      [ALL, ''],
      [`${ALL}?resource=samples`, 'tasks:read'],
      [BOTH, 'tasks:read samples:write'],
      [BOTH, 'samples:read']
    ] as const) {
      const { response } = await watch(t, app, 'alice', { url, claims: { scope } })
      t.equal(response.status, 403, `${url} ${scope}`)
      t.equal(response.headers.get('www-authenticate'), list.headers['www-authenticate'])
      const head = await app.inject({ method: 'HEAD', url, headers: asUser('alice', { scope }) })
      t.equal(head.statusCode, 403, `HEAD ${url} ${scope}`)
    }
    const user = newUser()
    const claims = { scope: 'tasks:write samples:read' }
    const some = await watch(t, app, user, { url: ALL, claims })
    const both = await watch(t, app, user, { url: BOTH, claims: { scope: 'samples:read tasks:read' } })
    for (const stream of [some, both]) t.match(await stream.next(), { event: 'reload' })
    const [task, sample] = [await newTask(user), await newSample(user)]
    t.same(await some.changes(1), [['created', sample.id, 1]])
    t.match(await both.changes(2), [
      ['created', task.id, 1],
      ['created', sample.id, 1]
    ])
  })

  t.test('of a resource that is not there, or of too many, is a 400', async (t) => {
    const many = Array.from({ length: 21 }, () => 'resource=tasks').join('&')
    for (const [query, pointer] of [
      ['resource=nothings', '/resource/0'],
      ['resource=tasks&resource=Samples', '/resource/1'],
      ['resource=', '/resource/0'],
      ['resource=constructor', '/resource/0'],
      [many, '/resource']
    ] as const) {
      const answer = await app.inject({ url: `${ALL}?${query}`, headers: asUser('alice') })
      const problem = { status: 400, code: 'validation_failed', errors: [{ in: 'query', pointer }] }
      t.match(answer.json(), problem, query)
    }
  })

  t.test('is described with the names of the resources, and has a HEAD', async (t) => {
    const { paths, tags } = (await app.inject('/openapi.json')).json()
    const { parameters, operationId, security } = paths['/api/events'].get
    t.same([operationId, security], ['watchChanges', [{ bearer: [] }]])
    const { schema } = parameters.find(({ name }: { name: string }) => name === 'resource')
    t.same([...schema.items.enum].sort(), [...app.resources.keys()].sort())
    t.ok(schema.items.enum.includes('samples'))
    t.ok(tags.some(({ name }: { name: string }) => name === 'events'))
    const head = await app.inject({ method: 'HEAD', url: BOTH, headers: asUser('alice') })
    t.equal(head.statusCode, 200)
    t.equal(head.headers['content-type'], 'text/event-stream; charset=utf-8')
  })
})
