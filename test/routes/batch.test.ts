import fc from 'fast-check'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { asUser, build, newUser } from '../support/app.ts'
import { watch } from '../support/events.ts'
import { client } from '../support/http.ts'

const OFF = { RATE_LIMIT_MAX: 'off' }
const UNKNOWN = '01900000-0000-7000-8000-000000000000'

const post = (app: FastifyInstance, user: string, payload: object, claims = {}) =>
  client(app, asUser(user, claims))('POST', '/batch', payload)
const list = async (app: FastifyInstance, user: string) => (await client(app, asUser(user))('GET', '?limit=100')).json()

for (const rls of ['false', 'true']) {
  t.test(`a batch creates, updates and deletes, all of it or nothing (DATABASE_RLS=${rls})`, async (t) => {
    const app = await build(t, { ...OFF, DATABASE_RLS: rls })
    const [alice, mallory] = [newUser('alice'), newUser('mallory')]
    const made = await post(app, alice, { create: [{ title: 'a' }, { title: 'b', completed: true }, { title: 'c' }] })
    t.equal(made.statusCode, 200)
    t.match(made.json(), {
      created: [{ title: 'a', version: 1 }, { title: 'b', completed: true }, { title: 'c' }],
      updated: [],
      deleted: []
    })
    const [a, b, c] = made.json().created
    t.same(
      (await list(app, alice)).map(({ id }: { id: string }) => id),
      [c.id, b.id, a.id],
      'created in the order of the body'
    )

    const next = {
      create: [{ title: 'd' }],
      update: [
        { id: a.id, version: 1, change: { completed: true } },
        { id: a.id, version: 2, change: { title: 'A' } },
        { id: b.id, change: { description: 'x' } }
      ],
      delete: [{ id: b.id, version: 2 }, { id: c.id }]
    }
    const done = await post(app, alice, next)
    t.equal(done.statusCode, 200)
    t.match(done.json(), {
      created: [{ title: 'd' }],
      updated: [{ version: 2 }, { title: 'A', completed: true, version: 3 }, { description: 'x' }],
      deleted: [b.id, c.id]
    })
    const [d] = done.json().created
    const before = await list(app, alice)
    t.same(
      before.map(({ id }: { id: string }) => id),
      [d.id, a.id]
    )

    for (const [body, status, code, pointer] of [
      [
        { create: [{ title: 'e' }], update: [{ id: UNKNOWN, change: { title: 'x' } }] },
        404,
        'task_not_found',
        '/update/0'
      ],
      [
        {
          update: [
            { id: a.id, change: { title: 'x' } },
            { id: a.id, version: 3, change: { title: 'y' } }
          ]
        },
        412,
        'precondition_failed',
        '/update/1'
      ],
      [{ delete: [{ id: d.id }, { id: a.id, version: 9 }, { id: UNKNOWN }] }, 412, 'precondition_failed', '/delete/1'],
      [{ delete: [{ id: d.id }, { id: d.id, version: 1 }] }, 404, 'task_not_found', '/delete/1'],
      // Each kind of operation is counted by itself.
      [
        {
          create: [{ title: 'e' }, { title: 'f' }],
          update: [
            { id: a.id, change: { title: 'x' } },
            { id: UNKNOWN, change: { title: 'x' } }
          ],
          delete: [{ id: d.id }]
        },
        404,
        'task_not_found',
        '/update/1'
      ],
      [
        {
          create: [{ title: 'e' }, { title: 'f' }],
          update: [{ id: a.id, change: { title: 'x' } }],
          delete: [{ id: UNKNOWN }]
        },
        404,
        'task_not_found',
        '/delete/0'
      ]
    ] as const) {
      const answer = await post(app, alice, body)
      t.match(answer.json(), { status, code, errors: [{ in: 'body', pointer }] })
      t.same(await list(app, alice), before, 'nothing was done')
    }

    const [foreign, unknown] = await Promise.all(
      [a.id, UNKNOWN].flatMap((id) => [post(app, mallory, { create: [{ title: 'm' }], delete: [{ id, version: 1 }] })])
    )
    t.equal(foreign?.statusCode, 404)
    t.same(foreign?.rawPayload, unknown?.rawPayload, 'a foreign task is answered exactly as a missing one')
    const taken = await post(app, mallory, { update: [{ id: a.id, change: { title: 'mine' } }] })
    t.equal(taken.statusCode, 404)
    t.same(await list(app, mallory), [])
    t.same(await list(app, alice), before)
  })
}

t.test('what is no batch is a 400', async (t) => {
  const app = await build(t, OFF)
  const alice = newUser('alice')
  const many = (count: number) => Array.from({ length: count }, (_, i) => ({ title: `Task ${i}` }))
  for (const [body, pointer] of [
    [{}, ''],
    [{ create: [] }, '/create'],
    [{ create: many(101) }, '/create'],
    // Issue 15: as many as fit into a body.
    [{ create: Array.from({ length: 349_000 }, () => ({})) }, ''],
    [{ create: many(100), delete: [{ id: UNKNOWN }] }, ''],
    [{ create: [{ title: 'x', userId: 'bob' }] }, '/create/0/userId'],
    [{ create: [{ title: 'x' }, { title: '' }] }, '/create/1/title'],
    [{ update: [{ id: UNKNOWN, change: {} }] }, '/update/0/change'],
    [{ update: [{ id: 'x', change: { title: 'x' } }] }, '/update/0/id'],
    [{ update: [{ id: UNKNOWN, change: { title: 'x' }, userId: 'bob' }] }, '/update/0/userId'],
    [{ delete: [{ id: `urn:uuid:${UNKNOWN}` }] }, '/delete/0/id'],
    [{ delete: [{ id: UNKNOWN, version: 0 }] }, '/delete/0/version'],
    [{ delete: [{ id: UNKNOWN, version: 2 ** 31 }] }, '/delete/0/version'],
    [{ owner: 'bob', create: many(1) }, '/owner']
  ] as const) {
    const answer = await post(app, alice, body)
    t.match(answer.json(), { status: 400, code: 'validation_failed', errors: [{ in: 'body', pointer }] }, pointer)
  }
  t.same(await list(app, alice), [])
  t.equal((await post(app, alice, { create: many(100) })).json().created.length, 100)
  t.equal((await post(app, alice, { create: many(1) }, { scope: 'tasks:read' })).statusCode, 403)
  const large = { create: many(30).map((task) => ({ ...task, description: 'x'.repeat(10_000) })) }
  t.equal((await post(app, alice, large)).statusCode, 200, 'more than one task may be')
  const tooLarge = { create: many(100).map((task) => ({ ...task, description: '€'.repeat(10_000) })) }
  t.match((await post(app, alice, tooLarge)).json(), { status: 413, code: 'body_too_large' })
})

t.test('batches that meet lose nothing', async (t) => {
  const app = await build(t, OFF)
  const alice = newUser('alice')
  const { created } = (await post(app, alice, { create: [{ title: '0' }, { title: '0' }] })).json()
  // Each write waits for the feed of a user with a stream.
  await (await watch(t, app, alice)).next()
  const ids: string[] = created.map(({ id }: { id: string }) => id)
  const orders = fc.sample(fc.shuffledSubarray(ids, { minLength: 2 }), { numRuns: 20, seed: 20_261_124 })
  const answers = await Promise.all(
    orders.map((order) => post(app, alice, { update: order.map((id) => ({ id, change: { completed: true } })) }))
  )
  for (const { statusCode } of answers) t.equal(statusCode, 200, 'in whatever order they take the same tasks')
  t.same(
    (await list(app, alice)).map(({ version }: { version: number }) => version),
    [orders.length + 1, orders.length + 1]
  )
})
