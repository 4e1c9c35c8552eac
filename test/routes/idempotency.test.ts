import { eq, sql } from 'drizzle-orm'
import fc from 'fast-check'
import type { FastifyInstance } from 'fastify'
import pino from 'pino'
import postgres from 'postgres'
import t from 'tap'
import { RETENTION_MS } from '../../plugins/database.ts'
import type { Owner } from '../../src/auth/user.ts'
import { openDatabase } from '../../src/db/open.ts'
import { type OwnedBy, ownedBy } from '../../src/db/owned.ts'
import { idempotencyKeys } from '../../src/db/system-tables.ts'
import { LockNotAvailable, type Transaction } from '../../src/db/transaction.ts'
import { type Earned, idempotency, MAX_KEPT_BYTES } from '../../src/resource/idempotency.ts'
import { asUser, build, databaseUrl, newUser, testConfig } from '../support/app.ts'
import { client, listen, openSocket, requestText } from '../support/http.ts'
import { taskStore } from '../support/tasks.ts'
import { holdInterval } from '../support/timers.ts'

const OFF = { RATE_LIMIT_MAX: 'off' }
/** A quota that counts nothing. */
const storage = { add: () => undefined }
const SERVER = process.env.TEST_DATABASE_URL !== undefined

const post = (app: FastifyInstance, user: string, key: string | undefined, payload: object, url = '/api/tasks') =>
  client(app, { ...asUser(user), ...(key && { 'idempotency-key': key }) }, url)('POST', '', payload)

const count = async (app: FastifyInstance, user: string) =>
  (await client(app, asUser(user))('GET', '?limit=100')).json().length

for (const rls of ['false', 'true']) {
  t.test(`a key makes a create happen once (DATABASE_RLS=${rls})`, async (t) => {
    const app = await build(t, { ...OFF, DATABASE_RLS: rls })
    const [alice, bob] = [newUser('alice'), newUser('bob')]
    const payload = { title: 'Buy milk', dueAt: '2030-01-31T10:00:00+01:00' }
    const first = await post(app, alice, 'key-1', payload)
    t.equal(first.statusCode, 201)
    t.notOk(first.headers['idempotency-replayed'])

    const url = String(first.headers.location)
    await app.inject({ method: 'PUT', url, headers: asUser(alice), payload: { title: 'Changed since' } })
    const again = await post(app, alice, 'key-1', payload)
    t.equal(again.statusCode, 201)
    t.equal(again.headers['idempotency-replayed'], 'true')
    t.same(again.rawPayload, first.rawPayload, 'the first answer, byte for byte')
    for (const name of ['location', 'etag', 'content-type']) t.equal(again.headers[name], first.headers[name], name)
    await app.inject({ method: 'DELETE', url, headers: asUser(alice) })
    t.same((await post(app, alice, 'key-1', payload)).rawPayload, first.rawPayload, 'also when it is gone')
    t.equal(await count(app, alice), 0)

    t.match((await post(app, alice, 'key-1', { title: 'Buy beer' })).json(), {
      status: 422,
      code: 'idempotency_key_reused'
    })
    const elsewhere = await post(app, alice, 'key-1', { create: [payload] }, '/api/tasks/batch')
    t.match(elsewhere.json(), { status: 422, code: 'idempotency_key_reused' }, 'nor is it for another route')
    t.equal(await count(app, alice), 0)

    const foreign = await post(app, bob, 'key-1', payload)
    t.equal(foreign.statusCode, 201)
    t.notOk(foreign.headers['idempotency-replayed'], "keys are each user's own")
    t.equal((await post(app, alice, 'key-2', payload)).headers['idempotency-replayed'], undefined)
    t.equal((await post(app, alice, undefined, payload)).statusCode, 201)
    t.equal(await count(app, alice), 2)
  })
}

t.test(
  'a body with its members in another order is the same request, with another value it is not (issue 16)',
  async (t) => {
    const app = await build(t, OFF)
    const alice = newUser('alice')
    const members = { title: 'x', description: null, completed: true, dueAt: '2030-01-31T10:00:00Z' }
    const reversed = (body: object) => Object.fromEntries(Object.entries(body).reverse())
    t.equal((await post(app, alice, 'key', members)).statusCode, 201)
    const again = await post(app, alice, 'key', reversed(members))
    t.equal(again.statusCode, 201)
    t.equal(again.headers['idempotency-replayed'], 'true')

    const batch = { create: [members, { title: 'y' }] }
    const mixed = { create: [reversed(members), { title: 'y' }] }
    t.equal((await post(app, alice, 'batch', batch, '/api/tasks/batch')).statusCode, 200)
    t.equal((await post(app, alice, 'batch', mixed, '/api/tasks/batch')).headers['idempotency-replayed'], 'true')

    const others = { title: 'X', description: 'x', completed: false, dueAt: '2030-01-31T10:00:01Z' }
    for (const [name, value] of Object.entries(others)) {
      const { [name as keyof typeof members]: _, ...rest } = members
      for (const other of [{ ...members, [name]: value }, rest]) {
        const answer = await post(app, alice, 'key', other)
        if (!('title' in other)) t.equal(answer.statusCode, 400)
        else t.equal(answer.json().code, 'idempotency_key_reused', JSON.stringify(other))
        const { statusCode } = await post(
          app,
          alice,
          'batch',
          { ...batch, create: [other, { title: 'y' }] },
          '/api/tasks/batch'
        )
        t.equal(statusCode, 'title' in other ? 422 : 400)
      }
    }
    const swapped = { create: [...batch.create].reverse() }
    t.equal(
      (await post(app, alice, 'batch', swapped, '/api/tasks/batch')).statusCode,
      422,
      'the order of a list counts'
    )
    t.equal(await count(app, alice), 3)
  }
)

t.test('a key of a request that failed is free', async (t) => {
  const app = await build(t, OFF)
  const alice = newUser('alice')
  t.equal((await post(app, alice, 'key', { title: '' })).statusCode, 400)
  t.equal((await post(app, alice, 'key', { title: 'x' })).statusCode, 201)
  const missing = { delete: [{ id: '01900000-0000-7000-8000-000000000000' }] }
  t.equal((await post(app, alice, 'batch', missing, '/api/tasks/batch')).statusCode, 404)
  t.equal((await post(app, alice, 'batch', { create: [{ title: 'y' }] }, '/api/tasks/batch')).statusCode, 200)
})

t.test('a key makes a batch happen once', async (t) => {
  const app = await build(t, OFF)
  const alice = newUser('alice')
  const batch = { create: [{ title: 'x' }, { title: 'y' }] }
  const first = await post(app, alice, 'key', batch, '/api/tasks/batch')
  t.equal(first.statusCode, 200)
  const again = await post(app, alice, 'key', batch, '/api/tasks/batch')
  t.equal(again.headers['idempotency-replayed'], 'true')
  t.same(again.rawPayload, first.rawPayload)
  const other = await post(app, alice, 'key', { create: [{ title: 'x' }] }, '/api/tasks/batch')
  t.match(other.json(), { status: 422, code: 'idempotency_key_reused' })
  t.equal(await count(app, alice), 2)
})

t.test('issue 15: a batch whose answer is too large to keep is replayed with the tasks as they are now', async (t) => {
  const app = await build(t, OFF)
  const [alice, url] = [newUser('alice'), '/api/tasks/batch']
  const create = Array.from({ length: 100 }, (_, i) => ({ title: `Task ${i}`, description: 'x'.repeat(1000) }))
  const made = await post(app, alice, 'create', { create }, url)
  const [a, b, c] = made.json().created
  const batch = {
    update: [...made.json().created].reverse().map(({ id }) => ({ id, change: { completed: true } })),
    create: [{ title: 'new' }]
  }
  t.equal((await post(app, alice, 'update', batch, url)).json().code, 'validation_failed', '101 operations')
  batch.update.pop()
  const first = await post(app, alice, 'update', batch, url)
  t.equal(first.statusCode, 200)
  t.ok(first.rawPayload.length > MAX_KEPT_BYTES)
  const same = await post(app, alice, 'update', batch, url)
  t.equal(same.headers['idempotency-replayed'], 'true')
  t.same(same.rawPayload, first.rawPayload, 'while nothing has changed, byte for byte')

  const changed = { update: [{ id: b.id, change: { title: 'Changed since' } }], delete: [{ id: c.id }] }
  t.equal((await post(app, alice, 'change', changed, url)).statusCode, 200)
  const replay = async (key: string, body: object) => {
    const answer = await post(app, alice, key, body, url)
    t.match(answer, { statusCode: 200, headers: { 'idempotency-replayed': 'true' } })
    return answer.json()
  }
  const titles = (tasks: { title: string }[]) => tasks.map(({ title }) => title)
  const there = ['Changed since', ...titles(create).slice(3)]
  t.same(titles((await replay('create', { create })).created), ['Task 0', ...there], 'as it is now, in order')
  const again = await replay('update', batch)
  t.same(titles(again.updated), there.reverse())
  t.match(again, { created: [{ title: 'new', version: 1 }], deleted: [] })
  t.same(await replay('change', changed), {
    created: [],
    updated: [{ ...b, ...again.updated.at(-1) }],
    deleted: [c.id]
  })
  t.notOk(titles(again.updated).includes(a.title))
  t.equal(await count(app, alice), 100)
  t.match((await post(app, newUser(), 'update', batch, url)).json(), { code: 'task_not_found' }, 'nobody else gets it')
})

t.test('a key that is none is a 400', async (t) => {
  const app = await build(t, OFF)
  const alice = newUser('alice')
  for (const key of ['k'.repeat(256), 'two words', 'tab\tbed', 'caf\u00e9']) {
    const answer = await post(app, alice, key, { title: 'x' })
    t.match(answer.json(), { code: 'validation_failed', errors: [{ in: 'header', pointer: '/idempotency-key' }] }, key)
  }
  for (const key of ['k'.repeat(255), '"a structured string"'.replaceAll(' ', '-'), '!~']) {
    t.equal((await post(app, alice, key, { title: 'x' })).statusCode, 201, key)
  }
  t.equal(await count(app, alice), 3)
})

t.test('many at once with one key create one task, and so does a client that dies and retries', async (t) => {
  const app = await build(t, OFF)
  const alice = newUser('alice')
  const answers = await Promise.all(Array.from({ length: 50 }, () => post(app, alice, 'key', { title: 'once' })))
  for (const { statusCode, headers } of answers) {
    t.ok(statusCode === 201 || (statusCode === 409 && headers['retry-after'] === '1'), String(statusCode))
  }
  t.equal(answers.filter(({ statusCode, headers }) => statusCode === 201 && !headers['idempotency-replayed']).length, 1)
  t.equal(await count(app, alice), 1)

  const port = await listen(app)
  const body = '{"title":"twice sent"}'
  /** Sends a request without its last bytes, then resets the connection. */
  const die = (key: string, bytes: number) =>
    new Promise<void>((resolve) => {
      const headers = { 'Idempotency-Key': key, 'Content-Type': 'application/json' }
      const length = { 'Content-Length': String(body.length) }
      const request = requestText('POST', '/api/tasks', { ...asUser(alice), ...headers, ...length }, body)
      const socket = openSocket(port).once('close', () => resolve())
      socket.once('connect', () =>
        socket.write(request.slice(0, request.length - bytes), () => socket.resetAndDestroy())
      )
    })
  let clients = 0
  await fc.assert(
    // The bytes of the request that are lost, and how often the client dies before its answer.
    fc.asyncProperty(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1, max: 3 }), async (bytes, deaths) => {
      const key = `client-${++clients}`
      for (let i = 0; i < deaths; i++) await die(key, i === 0 ? bytes : 0)
      // The client retries when it is told to.
      let retried = await post(app, alice, key, JSON.parse(body))
      while (retried.statusCode === 409) retried = await post(app, alice, key, JSON.parse(body))
      return retried.statusCode === 201 && (await count(app, alice)) === 1 + clients
    }),
    // A shrunk run would use new keys, and the counts would no longer fit.
    { numRuns: 30, seed: 20_261_124, endOnFailure: true }
  )
  t.equal(await count(app, alice), 1 + clients)
})

t.test('while the first is in flight, on whatever instance, the second is a 409 with Retry-After', async (t) => {
  const once = idempotency({
    owned: (table) => ownedBy(() => async () => [] as never, table),
    transaction: () => Promise.reject(new LockNotAvailable()),
    storage
  })
  const ask = () => once('alice' as Owner, 'key', {}, async () => ({ json: '', location: null }))
  t.equal(await ask(), 'idempotency_key_in_flight')

  if (!SERVER) return
  const app = await build(t, OFF)
  const alice = newUser('alice')
  const other = postgres(await databaseUrl(), { max: 1 })
  t.teardown(() => other.end())
  await other.begin(async (transaction) => {
    await transaction`select pg_advisory_xact_lock(hashtextextended(${`${alice}\nkey`}, 0))`
    for (const [key, status] of [
      ['key', 409],
      ['other', 201]
    ] as const) {
      const answer = await post(app, alice, key, { title: 'x' })
      t.equal(answer.statusCode, status)
      t.equal(answer.headers['retry-after'], status === 409 ? '1' : undefined)
    }
  })
  t.equal((await post(app, alice, 'key', { title: 'x' })).statusCode, 201)
})

t.test('a key that another transaction stored in the meantime is a 409, and nothing is done (issue 19)', async (t) => {
  const { database } = await testConfig()
  const connection = await openDatabase(database, pino({ level: 'silent' }))
  t.teardown(() => connection.close())
  const owned: OwnedBy = (table) => ownedBy(connection.prepare, table)
  const added: number[] = []
  const counting = { add: (_owner: Owner, bytes: number) => void added.push(bytes) }
  const once = idempotency({ owned, transaction: connection.transaction, storage: counting })
  const tasks = taskStore(owned)
  const row = { key: sql.placeholder('key'), digest: 'other', json: '{}', abridged: false }
  const insert = owned(idempotencyKeys).prepare((own) => own.insert(row).returning({ key: idempotencyKeys.key }))
  const alice = newUser('alice') as Owner
  const ask = (meanwhile: (transaction: Transaction) => Promise<unknown>) =>
    once(alice, 'key', {}, async (transaction) => {
      const { json } = await tasks.create(alice, { title: 'x' }, transaction)
      await meanwhile(transaction)
      return { json, location: null }
    })
  const titles = async () => JSON.parse((await tasks.list(alice)).json.toString()).length

  t.equal(await ask((transaction) => insert(alice, { key: 'key' }, transaction)), 'idempotency_key_in_flight')
  t.same([await titles(), added], [0, []])
  t.match(await ask(async () => undefined), { replayed: false }, 'with it the key is undone too')
  t.same([await titles(), added.length], [1, 1])

  // The embedded engine has one session.
  if (!SERVER) return
  const [bob, key] = [newUser('bob') as Owner, 'key']
  const race = () =>
    once(bob, key, {}, async (transaction) => {
      await tasks.create(bob, { title: 'x' }, transaction)
      await insert(bob, { key })
      return { json: '{}', location: null }
    })
  t.equal(await race(), 'idempotency_key_in_flight')
  t.equal(JSON.parse((await tasks.list(bob)).json.toString()).length, 0)
  t.equal(await race(), 'idempotency_key_reused', 'from then on the stored answer counts')
})

t.test('a key is good for 24 hours, and then swept, whosever it is', async (t) => {
  for (const rls of ['false', 'true']) {
    const { database } = await testConfig({ DATABASE_RLS: rls, DATABASE_POOL_MAX: '1' })
    const connection = await openDatabase(database, pino({ level: 'silent' }))
    const once = idempotency({
      owned: (table) => ownedBy(connection.prepare, table),
      transaction: connection.transaction,
      storage
    })
    const [alice, bob] = [newUser('alice'), newUser('bob')] as [Owner, Owner]
    let done = 0
    const ask = (owner: Owner, key = 'key') =>
      once(owner, key, { title: 'x' }, async () => ({ json: `"${++done}"`, location: null }))
    // These statements let a test change the age of a user's keys.
    const { digest } = idempotencyKeys
    const createdAt = sql`now() - make_interval(hours => ${sql.placeholder('hours')}::int)`
    const own = ownedBy(connection.prepare, idempotencyKeys)
    const set = own.prepare((own) => own.update({ createdAt }).returning({ digest }))
    const age = (owner: Owner, hours: number) => set(owner, { hours })
    t.match(await ask(alice), { json: '"1"', replayed: false })
    await age(alice, 23)
    t.match(await ask(alice), { json: '"1"', replayed: true })
    await age(alice, 25)
    t.match(await ask(alice), { json: '"2"', replayed: false }, 'a day later it is another request')

    await ask(bob)
    await ask(bob, 'kept')
    await age(alice, 25)
    await age(bob, 23)
    await connection.deleteExpired()
    t.match(await ask(alice), { replayed: false }, 'swept')
    t.match(await ask(bob, 'kept'), { replayed: true }, 'not swept')
    await connection.close()
  }
})

t.test('issue 15: an answer is kept as it is up to 64 KiB of UTF-8, and by its outline beyond', async (t) => {
  const { database } = await testConfig({ DATABASE_POOL_MAX: '1' })
  const connection = await openDatabase(database, pino({ level: 'silent' }))
  t.teardown(() => connection.close())
  const owned: OwnedBy = (table) => ownedBy(connection.prepare, table)
  const once = idempotency({ owned, transaction: connection.transaction, storage })
  const alice = newUser('alice') as Owner
  const find = owned(idempotencyKeys).prepare((own) =>
    own.select({ json: idempotencyKeys.json }, eq(idempotencyKeys.key, sql.placeholder('key')))
  )
  const ask = (key: string, earned: Omit<Earned, 'location'>) =>
    once(alice, key, key, async () => ({ location: null, ...earned }), { rebuild: async (outline) => `now ${outline}` })
  const fits = '€'.repeat(MAX_KEPT_BYTES / 3).padEnd(MAX_KEPT_BYTES / 3 + 1, 'x')
  for (const [what, earned, kept, replay] of [
    ['as large as it may be', { json: fits, outline: 'ids' }, fits, fits],
    ['a byte larger', { json: `${fits}x`, outline: 'ids' }, 'ids', 'now ids']
  ] as const) {
    t.equal(Buffer.byteLength(fits), MAX_KEPT_BYTES)
    t.match(await ask(what, earned), { json: earned.json, replayed: false }, what)
    t.same(await find(alice, { key: what }), [{ json: kept }], what)
    t.match(await ask(what, earned), { json: replay, replayed: true }, what)
  }
  const whole = () => once(alice, 'no outline', '', async () => ({ location: null, json: `${fits}x` }))
  t.match([await whole(), await whole()], [{ replayed: false }, { json: `${fits}x`, replayed: true }])
})

t.test('the service deletes expired rows by itself, every hour, each table on its own', async (t) => {
  const runRetention = holdInterval(t, RETENTION_MS)
  const warned: unknown[] = []
  const app = await build(t, { DATABASE_URL: 'postgres://127.0.0.1:1/none' }, (app) => {
    app.log.warn = (line: object) => void ('table' in line && warned.push(line))
  })
  runRetention()
  while (warned.length < 3) await new Promise((resolve) => setImmediate(resolve))
  const tables = ['changes', 'feeds', 'idempotency_keys']
  t.match(
    warned,
    tables.map((table) => ({ table, code: 'ECONNREFUSED' }))
  )
  await app.close()
})
