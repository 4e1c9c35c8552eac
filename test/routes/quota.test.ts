import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { asUser, build, newUser } from '../support/app.ts'
import { client, type Method } from '../support/http.ts'

const ENV = { RATE_LIMIT_MAX: 'off', USER_STORAGE_MAX_MB: '1' }
const BATCH = '/api/tasks/batch'

/** Text that does not get smaller when it is compressed. */
const noise = (length: number) => {
  let text = ''
  for (let seed = length; text.length < length; seed = (seed * 48_271) % 2_147_483_647) text += seed.toString(36)
  return text.slice(0, length)
}

const ask = (app: FastifyInstance, user: string, method: Method, url: string, payload?: object, key?: string) =>
  client(app, { ...asUser(user), ...(key && { 'idempotency-key': key }) }, url)(method, '', payload)

for (const rls of ['false', 'true']) {
  t.test(`issue 15: nobody stores more than they may, and deleting makes room (DATABASE_RLS=${rls})`, async (t) => {
    const app = await build(t, { ...ENV, DATABASE_RLS: rls })
    const [alice, bob] = [newUser('alice'), newUser('bob')]
    const full = { title: 'x', description: noise(9000) }
    const batch = { create: Array.from({ length: 50 }, () => full) }
    const ids: string[] = []
    let refused = await ask(app, alice, 'POST', BATCH, batch)
    for (let n = 0; refused.statusCode === 200 && n < 10; n++) {
      for (const { id } of refused.json().created) ids.push(id)
      refused = await ask(app, alice, 'POST', BATCH, batch)
    }
    t.equal(ids.length, 100, '0.9 of a megabyte')
    t.match(refused.json(), { status: 409, code: 'quota_exceeded' })
    t.equal(refused.headers['retry-after'], undefined, 'the same request cannot succeed later')
    // These tasks fill the rest of the megabyte.
    for (const description of [noise(9000), noise(200)]) {
      while ((await ask(app, alice, 'POST', '/api/tasks', { title: 'x', description })).statusCode === 201);
    }

    const [url, other] = [`/api/tasks/${ids[0]}`, `/api/tasks/${ids[1]}`]
    const refusals = [
      (await ask(app, alice, 'POST', '/api/tasks', full)).json().code,
      (await ask(app, alice, 'POST', '/api/tasks', full, 'key')).json().code,
      (await ask(app, alice, 'POST', BATCH, batch, 'batch')).json().code,
      (await ask(app, alice, 'PUT', url, { title: 'longer', description: `${full.description}${noise(900)}` })).json()
        .code,
      (
        await ask(app, alice, 'POST', BATCH, { update: [{ id: ids[0], change: { description: noise(10_000) } }] })
      ).json().code
    ]
    t.same([...new Set(refusals)], ['quota_exceeded'], 'whatever makes it more')

    t.equal((await app.inject({ url: '/api/tasks', headers: asUser(alice) })).statusCode, 200, 'reads work')
    t.equal((await ask(app, alice, 'PUT', url, { completed: true })).statusCode, 200, 'and updates without text')
    const same = { update: [{ id: ids[0]?.toUpperCase(), change: { title: 'z', description: noise(9000) } }] }
    t.equal((await ask(app, alice, 'POST', BATCH, same)).statusCode, 200, 'or with no more of it')
    t.equal((await ask(app, alice, 'PUT', other, { description: null })).statusCode, 200)
    const unknown = '/api/tasks/01900000-0000-7000-8000-000000000000'
    t.equal((await ask(app, alice, 'PUT', unknown, { title: noise(200) })).statusCode, 404)
    t.equal((await ask(app, bob, 'POST', BATCH, batch)).statusCode, 200, 'others are none the wiser')

    t.equal((await ask(app, alice, 'DELETE', url)).statusCode, 200, 'deletes work')
    const gone = { delete: ids.slice(2, 20).map((id) => ({ id })) }
    t.equal((await ask(app, alice, 'POST', BATCH, gone)).statusCode, 200)
    t.equal((await ask(app, alice, 'POST', '/api/tasks', full, 'key')).statusCode, 201, 'and there is room again')
  })
}

t.test('a request that was done is replayed to who may store no more', async (t) => {
  const app = await build(t, ENV)
  const alice = newUser('alice')
  const [large, one] = [
    { create: Array.from({ length: 100 }, () => ({ title: 'x', description: noise(9800) })) },
    { title: 'x' }
  ]
  const [first, batch] = [
    await ask(app, alice, 'POST', '/api/tasks', one, 'one'),
    await ask(app, alice, 'POST', BATCH, large, 'many')
  ]
  t.match([first.statusCode, batch.statusCode], [201, 200])
  while ((await ask(app, alice, 'POST', '/api/tasks', { title: 'x', description: noise(9000) })).statusCode === 201);
  for (const [key, url, body, before] of [
    ['one', '/api/tasks', one, first],
    ['many', BATCH, large, batch]
  ] as const) {
    const again = await ask(app, alice, 'POST', url, body, key)
    t.equal(again.headers['idempotency-replayed'], 'true')
    t.same(again.rawPayload, before.rawPayload)
  }
})
