// The whole contract, through the client that a reader of docs/api.md makes: test/typed-client.slow.test.ts makes `api.d.ts`,
// compiles this against it, and runs it. What must not compile is marked so, and fails the compilation once it does.
import assert from 'node:assert/strict'
import createClient from 'openapi-fetch'
import type { components, paths } from './api.d.ts'

type Task = components['schemas']['Task']
type NewTask = components['schemas']['NewTask']
type Code = components['schemas']['Problem']['code']

const UNKNOWN = '00000000-0000-4000-8000-000000000000'

/** The value, which must be there. */
function given<T>(value: T | undefined, what: unknown): T {
  assert.ok(value !== undefined, JSON.stringify(what))
  return value
}

/**
 * @param baseUrl where the service listens
 * @param token of the user `sub`, who has no tasks
 */
export async function contract(baseUrl: string, token: string, sub: string): Promise<void> {
  const api = createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${token}` } })
  const at = (id: string) => ({ params: { path: { id } } })

  const refused = (answer: { error?: { code: Code; status: number }; response: Response }, code: Code) => {
    const error = given(answer.error, code)
    assert.equal(error.code, code)
    assert.equal(error.status, answer.response.status)
    assert.ok(answer.response.headers.get('x-request-id'))
  }

  // The caller.
  const session = await api.GET('/api/session')
  assert.equal(given(session.data, session.error).user?.sub, sub)

  // Create.
  const tasks: Task[] = []
  const bodies: NewTask[] = [
    { title: 'One', dueAt: '2030-01-31T10:00:00+01:00' },
    { title: 'Two', description: null, completed: true },
    { title: 'Three' }
  ]
  for (const body of bodies) {
    const created = await api.POST('/api/tasks', { body })
    const task = given(created.data, created.error)
    assert.equal(created.response.status, 201)
    assert.equal(created.response.headers.get('location'), `/api/tasks/${task.id}`)
    assert.equal(task.title, body.title)
    tasks.unshift(task)
  }
  // @ts-expect-error: a title is text
  refused(await api.POST('/api/tasks', { body: { title: 1 } }), 'validation_failed')
  // Where the client infers the type of a body it lets other members pass, so this one has its type.
  // @ts-expect-error: nobody names an owner
  const ofBob: NewTask = { title: 'x', userId: 'bob' }
  const owned = await api.POST('/api/tasks', { body: ofBob })
  refused(owned, 'validation_failed')
  assert.equal(owned.error?.errors?.[0]?.pointer, '/userId')
  // @ts-expect-error: a title is required
  refused(await api.POST('/api/tasks', { body: {} }), 'validation_failed')

  // List, and every page of it.
  const seen: Task[] = []
  let cursor: string | undefined
  do {
    const query: NonNullable<paths['/api/tasks']['get']['parameters']['query']> = { limit: 2 }
    if (cursor !== undefined) query.cursor = cursor
    const page = await api.GET('/api/tasks', { params: { query } })
    seen.push(...given(page.data, page.error))
    cursor = /[?&]cursor=([^&>]+)[^>]*>; rel="next"/.exec(page.response.headers.get('link') ?? '')?.[1]
  } while (cursor !== undefined)
  assert.deepEqual(seen, tasks)
  refused(await api.GET('/api/tasks', { params: { query: { limit: 0 } } }), 'validation_failed')
  // @ts-expect-error: a limit is a number
  refused(await api.GET('/api/tasks', { params: { query: { limit: 'all' } } }), 'validation_failed')

  // Get one.
  const task = given(tasks[0], 'a task')
  const got = await api.GET('/api/tasks/{id}', at(task.id))
  assert.deepEqual(got.data, task)
  assert.equal(got.response.headers.get('etag'), `"${task.version}"`)
  refused(await api.GET('/api/tasks/{id}', at(UNKNOWN)), 'task_not_found')
  // @ts-expect-error: there is no such member
  assert.equal(got.data?.userId, undefined)

  // Update, in each of the three ways.
  const put = await api.PUT('/api/tasks/{id}', { ...at(task.id), body: { completed: true } })
  assert.deepEqual({ ...put.data, updatedAt: '' }, { ...task, updatedAt: '', completed: true, version: 2 })
  const patched = await api.PATCH('/api/tasks/{id}', { ...at(task.id), body: { title: 'Changed' } })
  assert.equal(given(patched.data, patched.error).title, 'Changed')
  const merged = await api.PATCH('/api/tasks/{id}', {
    ...at(task.id),
    headers: { 'content-type': 'application/merge-patch+json' },
    body: { description: 'Merged', dueAt: null }
  })
  assert.equal(given(merged.data, merged.error).version, 4)
  refused(await api.PUT('/api/tasks/{id}', { ...at(UNKNOWN), body: { completed: true } }), 'task_not_found')
  refused(await api.PATCH('/api/tasks/{id}', { ...at(task.id), body: {} }), 'validation_failed')
  // @ts-expect-error: completed is true or false
  refused(await api.PATCH('/api/tasks/{id}', { ...at(task.id), body: { completed: null } }), 'validation_failed')

  // Write only if the task has not changed since.
  const stale = { params: { path: { id: task.id }, header: { 'if-match': '"1"' } } }
  refused(await api.PATCH('/api/tasks/{id}', { ...stale, body: { title: 'Lost' } }), 'precondition_failed')
  const known = { params: { path: { id: task.id }, header: { 'if-none-match': '"4"' } } }
  assert.equal((await api.GET('/api/tasks/{id}', known)).response.status, 304)

  // The ones that are asked for, and how many there are.
  const query = { completed: true, q: 'CHANG', sort: '-title', count: 'exact' } as const
  const filtered = await api.GET('/api/tasks', { params: { query } })
  assert.deepEqual(given(filtered.data, filtered.error)[0]?.id, task.id)
  assert.equal(filtered.response.headers.get('x-total-count'), '1')
  // @ts-expect-error: there is no such order
  refused(await api.GET('/api/tasks', { params: { query: { sort: 'id' } } }), 'validation_failed')

  // A create with a key happens once, however often it is sent.
  const once = { params: { header: { 'idempotency-key': 'a-key' } } }
  const sent = await api.POST('/api/tasks', { ...once, body: { title: 'Once' } })
  const again = await api.POST('/api/tasks', { ...once, body: { title: 'Once' } })
  assert.deepEqual(again.data, given(sent.data, sent.error))
  assert.equal(again.response.headers.get('idempotency-replayed'), 'true')
  refused(await api.POST('/api/tasks', { ...once, body: { title: 'Other' } }), 'idempotency_key_reused')

  // Many at once.
  const { id } = given(sent.data, sent.error)
  const batch = await api.POST('/api/tasks/batch', {
    body: {
      create: [{ title: 'Many' }],
      update: [{ id, version: 1, change: { completed: true } }],
      delete: [{ id }]
    }
  })
  const { created, updated, deleted: gone } = given(batch.data, batch.error)
  assert.deepEqual([created[0]?.title, updated[0]?.completed, gone], ['Many', true, [id]])
  const undone = await api.POST('/api/tasks/batch', { body: { delete: [{ id: given(created[0], batch).id }, { id }] } })
  refused(undone, 'task_not_found')
  assert.equal(undone.error?.errors?.[0]?.pointer, '/delete/1')
  await api.DELETE('/api/tasks/{id}', at(given(created[0], batch).id))

  // Several operations, whatever they are on.
  const operations: paths['/api/batch']['post']['requestBody']['content']['application/json']['operations'] = [
    { resource: 'tasks', create: { title: 'Mixed' } },
    { resource: 'tasks', update: { id: task.id, change: { title: 'Mixed, too' } } }
  ]
  const mixed = await api.POST('/api/batch', { body: { operations } })
  // The name of the resource tells which type an item has.
  const { results } = given(mixed.data, mixed.error)
  const titles = results.map((result) =>
    result.resource === 'tasks' ? (result.created ?? result.updated)?.title : undefined
  )
  assert.deepEqual(titles, ['Mixed', 'Mixed, too'])
  // @ts-expect-error: there is no such resource
  operations.push({ resource: 'nothings', delete: { id: task.id } })
  const nothing = await api.POST('/api/batch', { body: { operations } })
  refused(nothing, 'validation_failed')
  assert.equal(nothing.error?.errors?.[0]?.pointer, '/operations/2/resource')
  await api.POST('/api/batch', {
    body: { operations: [{ resource: 'tasks', delete: { id: given(results[0]?.created, mixed).id } }] }
  })

  // Delete.
  const deleted = await api.DELETE('/api/tasks/{id}', at(task.id))
  assert.equal(given(deleted.data, deleted.error).detail, 'Task deleted')
  refused(await api.DELETE('/api/tasks/{id}', at(task.id)), 'task_not_found')

  // Streams of changes: their names only, since this client waits for the end of an answer.
  // @ts-expect-error: a resource that the service does not have
  refused(await api.GET('/api/events', { params: { query: { resource: ['others'] } } }), 'validation_failed')

  // A request without a token, and one with a bad token.
  const anonymous = createClient<paths>({ baseUrl })
  refused(await anonymous.GET('/api/tasks'), 'authorization_missing')
  assert.equal(given((await anonymous.GET('/api/session')).data, 'a session').user, null)
  refused(await api.GET('/api/tasks', { headers: { authorization: 'Bearer x.y.z' } }), 'token_malformed')
  // @ts-expect-error: a code that the service does not have
  assert.throws(() => refused({ error: { code: 'x', status: 400 }, response: Response.error() }, 'not_found'))

  // What is public.
  for (const path of ['/health/live', '/health/ready'] as const) {
    assert.equal((await anonymous.GET(path)).data?.status, 'ok')
  }
  // @ts-expect-error: a path that the service does not have
  await anonymous.GET('/nothing')
}
