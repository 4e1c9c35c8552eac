import fc from 'fast-check'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { uuidv7 } from '../../src/http/uuid.ts'
import { MAX_KEPT_BYTES } from '../../src/resource/idempotency.ts'
import type { Store } from '../../src/resource/store.ts'
import { mount } from '../contract/mount.ts'
import { holds, same } from '../contract/property.ts'
import { watchStatements } from '../contract/statements.ts'
import { asUser, build, newUser } from '../support/app.ts'
import { watch } from '../support/events.ts'
import { client } from '../support/http.ts'
import { foldersResource } from '../support/papers.ts'
import samples from '../support/samples.ts'

const UNKNOWN = '01900000-0000-7000-8000-000000000000'
const NOTHING = { tasks: [], samples: [], folders: [] }

interface Item {
  id: string
  version: number
}
type Result = { resource: string; created?: Item; updated?: Item; deleted?: string }

const serve = (t: Test, env: Record<string, string> = {}, extend?: (app: FastifyInstance) => void) =>
  build(t, { RATE_LIMIT_MAX: 'off', ...env }, async (app) => {
    await mount(app, samples)
    await mount(app, foldersResource)
    extend?.(app)
  })

const post = (app: FastifyInstance, user: string, operations: unknown, key?: string, claims = {}) =>
  client(app, { ...asUser(user, claims), ...(key && { 'idempotency-key': key }) }, '/api/batch')('POST', '', {
    operations
  } as object)

/** The items that operations created or updated. */
async function made(app: FastifyInstance, user: string, operations: object[]): Promise<Item[]> {
  const { results } = (await post(app, user, operations)).json()
  return results.map(({ created, updated }: Result) => created ?? updated)
}

/** All that a user has. */
const allOf = async (app: FastifyInstance, user: string) => {
  const list = async (url: string) => (await client(app, asUser(user), url)('GET', '?limit=100')).json()
  return { tasks: await list('/api/tasks'), samples: await list('/api/samples'), folders: await list('/api/folders') }
}

const task = (title: string) => ({ resource: 'tasks', create: { title } })
const sample = (label: string) => ({ resource: 'samples', create: { label } })
const folder = (name: string, more: object = {}) => ({ resource: 'folders', create: { name, ...more } })
const change = (resource: string, id: string | undefined, change: object, version?: number) => ({
  resource,
  update: { id, change, ...(version && { version }) }
})
const remove = (resource: string, id: string | undefined, version?: number) => ({
  resource,
  delete: { id, ...(version && { version }) }
})
const done = { completed: true }
const counted = { count: 1 }

for (const rls of ['false', 'true']) {
  t.test(`operations on several resources are done in order, all of them or none (DATABASE_RLS=${rls})`, async (t) => {
    const app = await serve(t, { DATABASE_RLS: rls })
    const [alice, mallory] = [newUser('alice'), newUser('mallory')]
    const created = await post(app, alice, [task('a'), sample('b'), task('c'), sample('d')])
    t.equal(created.statusCode, 200)
    const { results } = created.json()
    t.match(results, [
      { resource: 'tasks', created: { title: 'a', version: 1 } },
      { resource: 'samples', created: { label: 'b', version: 1 } },
      { resource: 'tasks', created: { title: 'c' } },
      { resource: 'samples', created: { label: 'd' } }
    ])
    const ids: string[] = results.map((result: Result) => result.created?.id)
    t.same(ids, [...ids].sort(), 'the ids are in the order of the operations')
    const [a, b, c, d] = ids

    const mixed = await post(app, alice, [
      change('tasks', a, done, 1),
      remove('samples', b, 1),
      change('tasks', a, { title: 'A' }, 2),
      sample('e'),
      change('samples', d?.toUpperCase(), counted),
      remove('tasks', c?.toUpperCase())
    ])
    t.equal(mixed.statusCode, 200)
    t.match(mixed.json().results, [
      { resource: 'tasks', updated: { id: a, title: 'a', completed: true, version: 2 } },
      { resource: 'samples', deleted: b },
      { resource: 'tasks', updated: { id: a, title: 'A', completed: true, version: 3 } },
      { resource: 'samples', created: { label: 'e' } },
      { resource: 'samples', updated: { id: d, label: 'd', count: 1, version: 2 } },
      { resource: 'tasks', deleted: c?.toUpperCase() }
    ])
    const before = await allOf(app, alice)
    t.match(before, { tasks: [{ id: a, title: 'A' }], samples: [{ label: 'e' }, { id: d, count: 1 }] })
    t.match([before.tasks.length, before.samples.length], [1, 2])

    for (const [operations, status, code, pointer] of [
      [[task('x'), change('samples', UNKNOWN, counted)], 404, 'sample_not_found', '/operations/1'],
      [[sample('x'), remove('tasks', UNKNOWN)], 404, 'task_not_found', '/operations/1'],
      // The id of another resource.
      [[change('tasks', a, done), change('samples', a, counted, 3)], 404, 'sample_not_found', '/operations/1'],
      [[change('tasks', a?.toUpperCase(), done, 9)], 412, 'precondition_failed', '/operations/0'],
      [[change('tasks', a, done), remove('samples', d, 9)], 412, 'precondition_failed', '/operations/1'],
      [[change('tasks', a, done), change('tasks', a, done, 3)], 412, 'precondition_failed', '/operations/1'],
      [[remove('samples', d), change('samples', d, counted, 2)], 404, 'sample_not_found', '/operations/1'],
      // What comes later does not count.
      [[change('tasks', a, done, 9), remove('tasks', a)], 412, 'precondition_failed', '/operations/0'],
      [[remove('tasks', UNKNOWN), change('samples', d, counted, 9)], 404, 'task_not_found', '/operations/0']
    ] as const) {
      const answer = await post(app, alice, operations)
      t.match(answer.json(), { status, code, errors: [{ in: 'body', pointer }] })
      t.equal(answer.json().errors.length, 1)
      t.same(await allOf(app, alice), before, 'nothing is done')
    }

    for (const operationsOn of [
      (resource: string, id?: string) => [task('m'), remove(resource, id, 1)],
      (resource: string, id?: string) => [sample('m'), change(resource, id, resource === 'tasks' ? done : counted)]
    ]) {
      for (const [resource, id] of [
        ['tasks', a],
        ['samples', d]
      ] as const) {
        const foreign = await post(app, mallory, operationsOn(resource, id))
        const unknown = await post(app, mallory, operationsOn(resource, UNKNOWN))
        t.equal(foreign.statusCode, 404)
        t.same(foreign.rawPayload, unknown.rawPayload, 'a foreign item is answered exactly as a missing one')
      }
    }
    t.same(await allOf(app, mallory), NOTHING)
    t.same(await allOf(app, alice), before)
  })
}

t.test('what is no batch is a 400 that points to what is wrong', async (t) => {
  const app = await serve(t)
  const alice = newUser('alice')
  const many = (count: number) => Array.from({ length: count }, (_, i) => task(`Task ${i}`))
  for (const [operations, ...pointers] of [
    [undefined, '/operations'],
    [{}, '/operations'],
    [[], '/operations'],
    [many(101), '/operations'],
    [Array.from({ length: 4000 }, () => ({})), '/operations'],
    // Issue 15: as many as fit into a body.
    [Array.from({ length: 349_000 }, () => ({})), ''],
    [[null], '/operations/0'],
    [[task('x'), { create: { title: 'x' } }], '/operations/1/resource'],
    [[{ ...task('x'), resource: 'toasts' }], '/operations/0/resource'],
    [[{ ...task('x'), resource: '__proto__' }], '/operations/0/resource'],
    [[{ ...task('x'), resource: ['tasks'] }], '/operations/0/resource'],
    [[{ resource: 'tasks' }], '/operations/0'],
    [[{ ...task('x'), ...remove('tasks', UNKNOWN) }], '/operations/0'],
    [[{ resource: 'tasks', replace: { title: 'x' } }], '/operations/0/replace'],
    [[{ ...sample('x'), resource: 'tasks' }], '/operations/0/create/title', '/operations/0/create/label'],
    [[task('x'), task(''), sample('')], '/operations/1/create/title', '/operations/2/create/label']
  ] as const) {
    const answer = await post(app, alice, operations)
    t.match(answer.json(), { status: 400, code: 'validation_failed' })
    t.same(
      answer.json().errors.map(({ pointer }: { pointer: string }) => pointer),
      pointers,
      JSON.stringify(operations)?.slice(0, 80)
    )
  }
  const [unknown] = (await post(app, alice, [{ ...task('x'), resource: 'toasts' }])).json().errors
  t.equal(unknown.detail, 'must be equal to one of the allowed values')
  const owner = { operations: [task('x')], owner: 'bob' }
  const named = await client(app, asUser(alice), '/api/batch')('POST', '', owner)
  t.match(named.json().errors, [{ pointer: '/owner' }])
  const none = await client(app, asUser(alice), '/api/batch')('POST')
  t.match(none.json(), { status: 400, code: 'validation_failed', errors: [{ pointer: '' }] })

  t.same(await allOf(app, alice), NOTHING)
  t.equal((await post(app, alice, many(100))).json().results.length, 100)
  const large = (count: number, letter: string) =>
    many(count).map(({ resource, create }) => ({ resource, create: { ...create, description: letter.repeat(10_000) } }))
  t.equal((await post(app, alice, large(30, 'x'))).statusCode, 200, 'more than one task may be')
  t.match((await post(app, alice, large(100, '€'))).json(), { status: 413, code: 'body_too_large' })
})

t.test('an operation is refused with the words of the batch of its own resource', async (t) => {
  const app = await serve(t)
  const alice = newUser('alice')
  const id = UNKNOWN
  for (const [resource, kind, value] of [
    ['tasks', 'create', { title: '', completed: 1, dueAt: 'tomorrow', userId: 'bob' }],
    ['tasks', 'create', {}],
    ['tasks', 'create', 'x'],
    ['tasks', 'update', { id, change: {} }],
    ['tasks', 'update', { id: 'x', version: 0, change: { title: null }, userId: 'bob' }],
    ['tasks', 'delete', { id: `urn:uuid:${id}` }],
    ['tasks', 'delete', { id, version: 2 ** 31 }],
    ['tasks', 'delete', [id]],
    ['samples', 'create', { label: 'x', tags: [1, ''], settings: [[[[1]]]], counts: [1, 1], code: 'a', status: 'old' }],
    ['samples', 'create', { label: 'x', score: 1 }],
    ['samples', 'update', { id, change: { origin: 'x', note: '\0' } }]
  ] as const) {
    const own = await client(app, asUser(alice), `/api/${resource}/batch`)('POST', '', { [kind]: [value] })
    const mixed = await post(app, alice, [{ resource, [kind]: value }])
    t.equal(own.statusCode, 400)
    t.equal(mixed.body, own.body.replaceAll(`/${kind}/0`, `/operations/0/${kind}`))
  }
})

t.test('a token needs the scope of each resource that is named', async (t) => {
  const app = await serve(t)
  const alice = newUser('alice')
  const ask = (scope: string | undefined, operations: unknown) => post(app, alice, operations, undefined, { scope })
  const both = [task('x'), sample('x')]
  for (const [scope, operations] of [
    ['tasks:write', both],
    ['samples:write', both],
    ['tasks:read samples:read', both],
    ['tasks:write samples:read', [...both, null]],
    // Nothing is said about the values.
    ['tasks:write', [task('x'), sample('')]],
    ['samples:write', [task(''), { resource: 'toasts' }]],
    ['', [{ resource: 'tasks' }]]
  ] as const) {
    const answer = await ask(scope, operations)
    t.match(answer.json(), { status: 403, code: 'insufficient_scope' }, scope)
    t.equal(answer.json().errors, undefined)
    t.match(answer.headers['www-authenticate'], 'Bearer error="insufficient_scope"')
  }
  t.same(await allOf(app, alice), NOTHING)
  t.equal((await ask('tasks:write', [task('x')])).statusCode, 200)
  t.equal((await ask('samples:write tasks:write', both)).statusCode, 200)
  t.equal((await ask(undefined, both)).statusCode, 200)
  t.equal((await ask('tasks:write', [{ ...task('x'), resource: 'toasts' }])).statusCode, 400)
  t.equal((await ask('tasks:write', 'x')).statusCode, 400)
})

t.test('a key makes it happen once', async (t) => {
  const app = await serve(t)
  const [alice, bob] = [newUser('alice'), newUser('bob')]
  const operations = [task('x'), sample('x')]
  t.equal((await post(app, alice, [task('x'), remove('samples', UNKNOWN)], 'key')).statusCode, 404)
  const first = await post(app, alice, operations, 'key')
  t.equal(first.statusCode, 200, 'a key of a request that failed is free')
  t.equal(first.headers['idempotency-replayed'], undefined)
  const reversed = operations.map((one) => Object.fromEntries(Object.entries(one).reverse()))
  for (const payload of [operations, reversed]) {
    const again = await post(app, alice, payload, 'key')
    t.equal(again.headers['idempotency-replayed'], 'true')
    t.same(again.rawPayload, first.rawPayload)
  }
  const reused = { status: 422, code: 'idempotency_key_reused' }
  t.match((await post(app, alice, [...operations].reverse(), 'key')).json(), reused)
  const headers = { ...asUser(alice), 'idempotency-key': 'key' }
  t.match((await client(app, headers)('POST', '/batch', { operations })).json(), { status: 400 })
  t.match((await client(app, headers)('POST', '/batch', { create: [{ title: 'x' }] })).json(), reused)
  t.equal((await post(app, bob, operations, 'key')).headers['idempotency-replayed'], undefined)
  for (const user of [alice, bob]) t.match(await allOf(app, user), { tasks: { length: 1 }, samples: { length: 1 } })
})

t.test('an answer that is too large to keep is repeated with the items as they are now', async (t) => {
  const app = await serve(t)
  const alice = newUser('alice')
  const operations = Array.from({ length: 96 }, (_, i) =>
    i % 2 === 0
      ? { resource: 'tasks', create: { title: `${i}`, description: 'x'.repeat(1000) } }
      : { resource: 'samples', create: { label: `${i}`, note: 'x'.repeat(1000) } }
  )
  const [gone, kept] = await made(app, alice, [sample('gone'), task('kept')])
  const all = [...operations, remove('samples', gone?.id?.toUpperCase()), change('tasks', kept?.id, done)]
  const first = await post(app, alice, all, 'key')
  t.equal(first.statusCode, 200)
  t.ok(first.rawPayload.length > MAX_KEPT_BYTES)
  const again = await post(app, alice, all, 'key')
  t.equal(again.headers['idempotency-replayed'], 'true')
  t.same(again.rawPayload, first.rawPayload, 'while nothing has changed, byte for byte')

  const { results } = first.json() as { results: Result[] }
  const [a, b, c, d] = results.map(({ created }) => created?.id)
  const [, changed] = await made(app, alice, [change('tasks', a, { title: 'A' }), change('samples', b, counted)])
  t.equal((await post(app, alice, [remove('tasks', c), remove('samples', d)])).statusCode, 200)
  const later = (await post(app, alice, all, 'key')).json().results
  t.match(later[0], { resource: 'tasks', created: { id: a, title: 'A', version: 2 } })
  t.same(later[1], { resource: 'samples', created: changed })
  t.same(later.slice(2), results.slice(4), 'without the items that are gone')
})

t.test('an error of the database is told with its pointer, and not what follows from it', async (t) => {
  const app = await serve(t, {}, (app) => {
    const store = app.resources.get('samples')?.store as Store
    const { update } = store
    store.update = (owner, id, change, ...rest) =>
      change.label === 'broken' ? Promise.reject(new Error('of ours')) : update.call(store, owner, id, change, ...rest)
  })
  const alice = newUser('alice')
  const [a, b, c] = await made(app, alice, [task('a'), sample('b'), folder('c')])
  const before = await allOf(app, alice)
  const id = uuidv7()
  for (const [operations, status, pointer] of [
    [[task('x'), folder('one'), folder('One'), change('tasks', a?.id, done)], 409, '/operations/2/create/name'],
    [[folder('C'), folder('c'), remove('tasks', UNKNOWN)], 409, '/operations/0/create/name'],
    [[remove('tasks', UNKNOWN), folder('c'), folder('c')], 404, '/operations/0'],
    // In a failed transaction nobody could look up why.
    [[change('tasks', a?.id, done, 7), folder('c'), folder('c')], 412, '/operations/0'],
    [[folder('new', { id }), change('folders', id, { name: 'other' }, 7)], 412, '/operations/1'],
    [[folder('new', { id }), task('x'), folder('other', { id })], 409, '/operations/2/create/id'],
    [[folder('new'), change('folders', c?.id, { name: 'New' })], 409, '/operations/1/update/change/name'],
    [[task('x'), folder('new', { parentId: UNKNOWN })], 409, '/operations/1/create/parentId']
  ] as const) {
    const answer = await post(app, alice, operations)
    t.match(answer.json(), { status, errors: [{ in: 'body', pointer }] }, answer.body)
    t.equal(answer.json().errors.length, 1)
    t.same(await allOf(app, alice), before, 'nothing is done')
  }
  const broken = await post(app, alice, [task('x'), change('samples', b?.id, { label: 'broken' })])
  t.match(broken.json(), { status: 500, code: 'internal_error', errors: undefined })
  t.same(await allOf(app, alice), before, 'nothing is done')
})

t.test('parent and child are created in one batch, and deleted in one', async (t) => {
  const app = await serve(t)
  const alice = newUser('alice')
  const before = await allOf(app, alice)
  const [parent, child] = [uuidv7(), uuidv7()]
  const create = [folder('parent', { id: parent }), folder('child', { id: child, parentId: parent })]
  const [first] = await made(app, alice, create)
  t.match(first, { id: parent, version: 1 })
  t.same(await made(app, alice, create), await made(app, alice, create), 'again without a key')
  t.match((await post(app, alice, [remove('folders', parent), remove('folders', child)])).json(), {
    status: 404,
    errors: [{ pointer: '/operations/1' }]
  })
  // The name is free when the one before has been deleted with its parent.
  const renewed = await post(app, alice, [remove('folders', parent, 1), folder('child')])
  t.match(renewed.json().results, [{ deleted: parent }, { created: { name: 'child', version: 1 } }])
  await post(app, alice, [remove('folders', renewed.json().results[1].created.id)])
  t.same(await allOf(app, alice), before)
})

t.test('each change is recorded, in the order of the operations', async (t) => {
  const app = await serve(t)
  const alice = newUser('alice')
  const [tasks, others] = [await watch(t, app, alice), await watch(t, app, alice, { url: '/api/samples/events' })]
  for (const stream of [tasks, others]) t.match(await stream.next(), { event: 'reload' })
  const [a, b] = await made(app, alice, [task('a'), sample('b')])
  await post(app, alice, [change('samples', b?.id, counted), remove('tasks', a?.id), change('samples', b?.id, counted)])
  t.same(await tasks.changes(2), [
    ['created', a?.id, 1],
    ['deleted', a?.id, 1]
  ])
  t.same(await others.changes(3), [
    ['created', b?.id, 1],
    ['updated', b?.id, 2],
    ['updated', b?.id, 3]
  ])
})

t.test('batches that meet lose nothing', async (t) => {
  const app = await serve(t)
  const alice = newUser('alice')
  const [a, b, c] = await made(app, alice, [task('a'), sample('b'), task('c')])
  const changes = [change('tasks', a?.id, done), change('samples', b?.id, counted), change('tasks', c?.id, done)]
  const locks: string[] = []
  const stop = watchStatements(({ text }) => {
    const [, table] = /"(tasks|samples)" .* for update$/.exec(text) ?? []
    if (table !== undefined) locks.push(table)
    else if (text.startsWith('update')) locks.push('update')
  })
  t.equal((await post(app, alice, changes)).statusCode, 200)
  t.equal((await post(app, alice, [...changes].reverse())).statusCode, 200)
  stop()
  const each = ['samples', 'tasks', 'update', 'update', 'update']
  t.same(locks, [...each, ...each], 'the items are locked first, in the order of their tables')

  // Each write waits for the feed of a user with a stream.
  await (await watch(t, app, alice)).next()
  const orders = fc.sample(fc.shuffledSubarray(changes, { minLength: 3 }), { numRuns: 20, seed: 20_261_129 })
  const answers = await Promise.all(orders.map((order) => post(app, alice, order)))
  for (const { statusCode } of answers) t.equal(statusCode, 200, 'in whatever order they take the same items')
  const version = 3 + orders.length
  t.match(await allOf(app, alice), { tasks: [{ version }, { version }], samples: [{ version }] })
})

t.test('nobody stores more than they may, and deleting makes room', async (t) => {
  const app = await serve(t, { USER_STORAGE_MAX_MB: '1' })
  const alice = newUser('alice')
  /** Text that does not get smaller when it is compressed. */
  const noise = (length: number) => {
    let text = ''
    for (let seed = length; text.length < length; seed = (seed * 48_271) % 2_147_483_647) text += seed.toString(36)
    return text.slice(0, length)
  }
  const large = { resource: 'tasks', create: { title: 'x', description: noise(9000) } }
  const [small, first, ...others] = await made(app, alice, [sample('x'), ...Array.from({ length: 20 }, () => large)])
  const many = [sample('x'), ...Array.from({ length: 50 }, () => large)]
  t.equal((await post(app, alice, many)).statusCode, 200)
  t.match((await post(app, alice, many)).json(), { status: 409, code: 'quota_exceeded' })
  const fill = async (one: object) => {
    for (let n = 0; n < 200 && (await post(app, alice, [one])).statusCode === 200; n++);
  }
  // These fill the rest of the megabyte.
  for (const one of [large, { resource: 'samples', create: { label: 'x', note: noise(900) } }]) {
    await fill(one)
  }
  t.equal((await post(app, alice, [change('tasks', first?.id, done), large], 'key')).json().code, 'quota_exceeded')
  t.equal((await post(app, alice, [sample('x'), large])).json().code, 'quota_exceeded')
  const same = change('tasks', first?.id, { description: noise(8999) })
  t.equal((await post(app, alice, [change('samples', small?.id, counted), same])).statusCode, 200, 'with no more text')
  for (const [ids, key] of [
    [others.slice(0, 9), 'delete'],
    [others.slice(9), undefined]
  ] as const) {
    const deletes = ids.map(({ id }) => remove('tasks', id))
    t.equal((await post(app, alice, deletes, key)).statusCode, 200)
    t.equal((await post(app, alice, [large])).statusCode, 200, 'and there is room again')
    await fill(large)
    t.equal((await post(app, alice, [large])).json().code, 'quota_exceeded')
  }
})

/** An item that there was. */
interface Known {
  resource: string
  id: string
  /** Undefined when it is gone. */
  version: number | undefined
}

/** One operation: on the item of a number, of a version that is so far off, or on none at all. */
const choices = fc.record({
  kind: fc.constantFrom('create', 'update', 'update', 'delete'),
  resource: fc.constantFrom('tasks', 'samples'),
  at: fc.nat({ max: 99 }),
  off: fc.option(fc.constantFrom(0, 0, 0, 1), { freq: 2 })
})

/** The operations of these choices, each with the item that it is on. */
const chosen = (known: Known[], picks: (typeof choices extends fc.Arbitrary<infer C> ? C : never)[]) =>
  picks.map(({ kind, resource, at, off }) => {
    const item = known[at % known.length]
    if (kind === 'create' || item === undefined) return { sent: resource === 'tasks' ? task('x') : sample('x') }
    const named = at % 9 === 0 ? resource : item.resource
    const version = off === null ? undefined : (item.version ?? 1) + off
    if (kind === 'delete') return { item, named, version, sent: remove(named, item.id, version) }
    return { item, named, version, sent: change(named, item.id, named === 'tasks' ? done : counted, version) }
  })

/** The answer that a model gives: the versions after the operations, or where and why they fail. */
function modelled(operations: ReturnType<typeof chosen>) {
  const versions = new Map<Known, number | undefined>()
  for (const [i, { item, named, version, sent }] of operations.entries()) {
    if (item === undefined) continue
    const current = versions.has(item) ? versions.get(item) : item.version
    const now = named === item.resource ? current : undefined
    const failed = (code: string) => ({ versions, failure: [code, `/operations/${i}`] })
    if (now === undefined) return failed(named === 'tasks' ? 'task_not_found' : 'sample_not_found')
    if (version !== undefined && version !== now) return failed('precondition_failed')
    versions.set(item, 'delete' in sent ? undefined : now + 1)
  }
  return { versions, failure: undefined }
}

t.test('whatever the operations are, a model of them has the same result', async (t) => {
  const app = await serve(t)
  const histories = fc.array(fc.array(choices, { minLength: 1, maxLength: 5 }), { minLength: 2, maxLength: 8 })
  let [succeeded, failed] = [0, 0]
  const property = fc.asyncProperty(histories, async (batches) => {
    const user = newUser()
    const known: Known[] = []
    for (const batch of batches) {
      const operations = chosen(known, batch)
      const { versions, failure } = modelled(operations)
      const { results, code, errors } = (
        await post(
          app,
          user,
          operations.map(({ sent }) => sent)
        )
      ).json()
      same(code && [code, errors[0].pointer], failure, JSON.stringify(operations))
      if (failure === undefined) succeeded++
      else failed++
      if (failure !== undefined) continue
      for (const [item, version] of versions) item.version = version
      for (const [i, { item, sent }] of operations.entries()) {
        const { resource, created, updated, deleted }: Result = results[i]
        same(resource, sent.resource, 'the resource')
        if (item !== undefined) same(updated?.id ?? deleted, item.id, 'the item')
        else known.push({ resource, id: String(created?.id), version: created?.version })
      }
    }
    for (const [resource, items] of Object.entries(await allOf(app, user))) {
      const there = known.filter((one) => one.resource === resource && one.version !== undefined).reverse()
      same(
        items.map(({ id, version }: Item) => [id, version]),
        there.map(({ id, version }) => [id, version]),
        resource
      )
    }
  })
  await holds(property, 60, 20_261_129)
  t.ok(succeeded > 60 && failed > 60, `${succeeded} batches were done, and ${failed} were not`)
})
