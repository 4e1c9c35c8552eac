import { randomUUID } from 'node:crypto'
import type { LightMyRequestResponse } from 'fastify'
import { timeOf, uuidv7 } from '../../src/http/uuid.ts'
import { newUser } from './application.ts'
import type { Body } from './constraints.ts'
import { watch } from './events.ts'
import { asking, behind, listed, type Subject, serve, wallsOf } from './subject.ts'
import type { Suite, Test } from './test.ts'
import { backwards } from './writes.ts'

const DAY_MS = 86_400_000
const MINUTE_MS = 60_000

/** A UUIDv7 of another time. */
function idAt(ms: number): string {
  const time = (Date.now() + ms).toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}${uuidv7().slice(13)}`
}

/** Ids that no create can choose. */
const REFUSED: unknown[] = [
  randomUUID(),
  'x',
  '',
  null,
  7,
  '00000000-0000-0000-0000-000000000000',
  `${uuidv7()}0`,
  // The variant is not that of RFC 9562.
  uuidv7().replace(/-[89ab](\w{3}-\w{12})$/, '-c$1')
]

/** What a client sees of the answer to a create. */
const seen = ({ body, headers: { etag, location } }: LightMyRequestResponse) => ({ body, etag, location })

/** Holds a resource to what a create with an `id` promises: it is done once, however often it is sent. */
export function chosenIdsSuite(t: Suite, subject: Subject): void {
  for (const rls of wallsOf(subject)) {
    t.test(`${subject.declaration.words.plural}: a create may choose its id, RLS ${rls} (issue 20)`, async (t) => {
      await testChosenIds(t, behind(subject, rls))
    })
  }
}

async function testChosenIds(t: Test, subject: Subject): Promise<void> {
  const { create, change } = subject
  const { app, url } = await serve(t, subject)
  const ask = asking(app, url)
  const post = (user: string, body: Body, headers = {}) => ask(user, 'POST', '', body, headers)
  const taken = (pointer = '/id') => ({ status: 409, code: 'already_exists', errors: [{ in: 'body', pointer }] })

  t.test('the same create again is answered with the item as it is now', async (t) => {
    const user = newUser()
    const body: Body = { id: uuidv7(), ...create() }
    const first = await post(user, body)
    t.equal(first.statusCode, 201)
    const { id, createdAt } = first.json()
    t.equal(id, body.id)
    t.equal(Date.parse(createdAt), Date.parse(timeOf(id)))
    t.match(first.headers, { etag: '"1"', location: `${url}/${id}` })
    for (const same of [body, { ...body, id: id.toUpperCase() }, backwards(body) as Body]) {
      const again = await post(user, same)
      t.same([again.statusCode, seen(again)], [200, seen(first)])
    }
    const changed = await ask(user, 'PUT', `/${id}`, change())
    const after = await post(user, body)
    t.same([after.statusCode, after.body, after.headers.etag], [200, changed.body, '"2"'])
    t.same(await listed(ask, user), [changed.json()])
    await ask(user, 'DELETE', `/${id}`)
    const anew = await post(user, { ...body, id: id.toUpperCase() })
    t.equal(anew.statusCode, 201, 'nothing is left of what was deleted')
    t.match(anew.headers, { etag: '"1"', location: `${url}/${id}` })
    t.match(anew.json(), { id, createdAt, version: 1 })
  })

  t.test('another create with the id is refused, and does nothing', async (t) => {
    const user = newUser()
    const body = { id: uuidv7(), ...create() }
    await post(user, body)
    const before = await listed(ask, user)
    const { id, ...rest } = body
    const [name = ''] = Object.keys(rest)
    for (const other of [
      { ...create(), id },
      { ...rest, ...create(), id: id.toUpperCase() }
    ]) {
      const answer = await post(user, other)
      t.match(answer.json(), taken())
      t.equal(answer.headers['retry-after'], undefined, 'the same request cannot succeed later')
    }
    t.ok(name in body)
    t.equal((await ask(user, 'PUT', `/${id}`, { ...change(), id })).statusCode, 400, 'an update chooses none')
    t.same(await listed(ask, user), before)
    const { id: made } = (await post(user, create())).json()
    t.match((await post(user, { ...create(), id: made })).json(), taken(), 'nor is an id free that the service made')
  })

  t.test('the id of somebody else is as free as any', async (t) => {
    const [alice, mallory, eve] = [newUser('alice'), newUser('mallory'), newUser('eve')]
    const body = { id: uuidv7(), ...create() }
    const hers = await post(alice, body)
    const same = await post(mallory, body)
    t.same([same.statusCode, same.headers.etag, same.headers.location], [201, '"1"', `${url}/${body.id}`])
    t.equal((await post(eve, { ...create(), id: body.id })).statusCode, 201)
    await ask(mallory, 'DELETE', `/${body.id}`)
    t.equal((await ask(alice, 'GET', `/${body.id}`)).body, hers.body)
  })

  t.test('an id that is no UUIDv7 of about now is refused', async (t) => {
    const user = newUser()
    const old = [idAt(-DAY_MS - MINUTE_MS), idAt(DAY_MS + MINUTE_MS)]
    for (const id of [...REFUSED, ...old]) {
      const bad = { ...create(), id }
      t.match(
        (await post(user, bad)).json(),
        { status: 400, code: 'validation_failed', errors: [{ pointer: '/id' }] },
        `${id}`
      )
      const batch = await ask(user, 'POST', '/batch', { create: [create(), bad] })
      t.match(batch.json(), { status: 400, errors: [{ pointer: '/create/1/id' }] })
    }
    t.same(await listed(ask, user), [])
    const ids = [idAt(-DAY_MS + MINUTE_MS), idAt(DAY_MS - MINUTE_MS)]
    for (const id of ids) {
      const made = await post(user, { ...create(), id })
      t.equal(made.statusCode, 201)
      t.equal(Date.parse(made.json().createdAt), Date.parse(timeOf(id)), 'it was created when its id says')
      t.equal((await ask(user, 'PUT', `/${id}`, change())).statusCode, 200)
    }
    t.same(
      (await listed(ask, user)).map(({ id }) => id),
      ids.toReversed()
    )
  })

  t.test('so it is in a batch', async (t) => {
    const user = newUser()
    const [a, b]: Body[] = [
      { id: uuidv7(), ...create() },
      { id: uuidv7(), ...create() }
    ]
    const first = await ask(user, 'POST', '/batch', { create: [a, b] })
    t.equal(first.statusCode, 200)
    const { created } = first.json()
    t.same((await ask(user, 'POST', '/batch', { create: [a, b] })).body, first.body)
    const changed = (await ask(user, 'PUT', `/${a?.id}`, change())).json()
    t.same((await ask(user, 'POST', '/batch', { create: [b, a, a] })).json().created, [created[1], changed, changed])
    const before = await listed(ask, user)
    const other = { ...create(), id: b?.id }
    const answer = await ask(user, 'POST', '/batch', { create: [create(), other], delete: [{ id: a?.id }] })
    t.match(answer.json(), taken('/create/1/id'))
    t.same(await listed(ask, user), before, 'nothing is done')
    const twice = [{ ...create(), id: uuidv7() }, create()]
    const both = await ask(user, 'POST', '/batch', { create: [...twice, { ...create(), id: twice[0]?.id }] })
    t.match(both.json(), taken('/create/2/id'), 'two creates of one batch')
    t.equal((await listed(ask, user)).length, 2)
  })

  t.test('with an idempotency key it is done once all the more', async (t) => {
    const user = newUser()
    const body = { id: uuidv7(), ...create() }
    const [one, two] = [{ 'idempotency-key': randomUUID() }, { 'idempotency-key': randomUUID() }]
    const first = await post(user, body, one)
    t.equal(first.statusCode, 201)
    const replayed = await post(user, body, one)
    t.same([replayed.statusCode, seen(replayed), replayed.headers['idempotency-replayed']], [201, seen(first), 'true'])
    t.match((await post(user, { ...create(), id: body.id }, two)).json(), taken())
    const changed = await ask(user, 'PUT', `/${body.id}`, change())
    for (let i = 0; i < 2; i++) {
      const again = await post(user, body, two)
      t.same([again.statusCode, again.body, again.headers.etag], [200, changed.body, '"2"'])
      t.equal(again.headers.location, `${url}/${body.id}`)
      t.equal(again.headers['idempotency-replayed'], undefined, 'it is the item as it is now, not an answer of before')
    }
  })

  t.test('of creates with one id at once one is done', async (t) => {
    for (let round = 0; round < 5; round++) {
      const user = newUser()
      await post(user, create())
      const id = uuidv7()
      const [a, b]: Body[] = [
        { ...create(), id },
        { ...create(), id }
      ]
      const keyed = () => post(user, a as Body, { 'idempotency-key': randomUUID() })
      const answers = await Promise.all(
        Array.from({ length: 10 }, (_, i) => (i % 5 === 4 ? keyed() : post(user, a as Body)))
      )
      t.same(answers.map(({ statusCode }) => statusCode).sort(), [...Array(9).fill(200), 201])
      t.same([...new Set(answers.map(({ body }) => body))].length, 1)
      t.match((await post(user, b as Body)).json(), taken())
      t.equal((await listed(ask, user)).length, 2)
    }
    const user = newUser()
    const id = uuidv7()
    const bodies: Body[] = Array.from({ length: 10 }, () => ({ ...create(), id }))
    const answers = await Promise.all(bodies.map((body) => post(user, body)))
    t.same(answers.map(({ statusCode }) => statusCode).sort(), [201, ...Array(9).fill(409)])
    for (const answer of answers) if (answer.statusCode === 409) t.match(answer.json(), taken())
  })

  t.test('nobody hears of a create that was done before', async (t) => {
    const user = newUser()
    const stream = await watch(t, app, user, { url: `${url}/events` })
    t.equal((await stream.next())?.event, 'reload')
    const body = { id: uuidv7(), ...create() }
    for (let i = 0; i < 3; i++) await post(user, body)
    await ask(user, 'DELETE', `/${body.id}`)
    t.same(await stream.changes(2), [
      ['created', body.id, 1],
      ['deleted', body.id, 1]
    ])
    stream.close()
  })
}
