import { randomBytes, randomUUID } from 'node:crypto'
import type { Owner } from '../../src/auth/user.ts'
import { Reference } from '../../src/db/reference.ts'
import { exportUser, purgeUser } from '../../src/db/user-data.ts'
import { problemMembers } from '../../src/http/problems.ts'
import type { Member } from '../../src/resource/members.ts'
import { asUser, newUser, openDatabase } from './application.ts'
import { watch } from './events.ts'
import { by, type Subject, serve, UNKNOWN } from './subject.ts'
import type { Suite } from './test.ts'

/** Values of every type of JSON, one of which no member but a document takes. */
const OTHERS: Record<string, unknown> = { string: 'x', number: 1.5, boolean: true, object: {}, array: [] }

/** A value that a member refuses. Undefined for one that takes everything. */
function refused({ schema, kind }: Member): unknown {
  if (kind.name === 'document') return 'x'.repeat(Number(schema.maxBytes))
  const { type } = kind.schema
  return Object.entries(OTHERS).find(([name]) => name !== type && !(type === 'integer' && name === 'number'))?.[1]
}

/** The value with the members of each object in the reverse order. */
export const backwards = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(backwards)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, one]) => [name, backwards(one)])
  )
}

/** The most characters that one of a hundred items may have, so that they fit a request. */
const MOST_CHARACTERS = 3000

/** Long texts, which PostgreSQL cannot compress, for the members that take any text. */
const largest = (members: readonly Member[]) =>
  Object.fromEntries(
    members.flatMap(({ name, kind, schema, setBy }) =>
      kind.name === 'text' && setBy === 'client' && schema.enum === undefined && schema.pattern === undefined
        ? [
            [
              name,
              randomBytes(MOST_CHARACTERS)
                .toString('hex')
                .slice(0, Math.min(Number(schema.maxLength), MOST_CHARACTERS))
            ]
          ]
        : []
    )
  )

/** Holds a resource to the contract of writes: validation, scopes, preconditions, keys, batches, export and purge. */
export function writesSuite(t: Suite, subject: Subject): void {
  const { declaration, notFound, create, change } = subject
  const { plural, collection: name } = declaration.words

  t.test(`${plural}: writes`, async (t) => {
    const { app, url } = await serve(t, subject)
    const [alice, bob] = [newUser('alice'), newUser('bob')]
    const send = (
      user: string,
      method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
      path = '',
      body?: object,
      headers = {}
    ) => app.inject(by(user, method, url + path, body, headers))
    const made = async (user = alice) => `/${(await send(user, 'POST', '', create())).json().id}`

    t.test('what does not fit a member is a 400 that points to it, and does nothing', async (t) => {
      const user = newUser()
      const path = await made(user)
      const before = (await send(user, 'GET', path)).body
      for (const member of declaration.members) {
        const pointer = `/${member.name}`
        const bad = [refused(member), ...(member.nullable || member.kind.name === 'document' ? [] : [null])]
        for (const value of bad) {
          for (const [method, at, body] of [
            ['POST', '', create()],
            ['PUT', path, change()],
            ['PATCH', path, change()]
          ] as const) {
            const answer = await send(user, method, at, { ...body, [member.name]: value })
            t.match(answer.json(), { status: 400, code: 'validation_failed' }, `${method} ${pointer}`)
            t.ok(
              answer.json().errors.some((one: { pointer: string }) => one.pointer.startsWith(pointer)),
              `${answer.body} points to ${pointer}`
            )
          }
        }
        if (member.required) {
          const { [member.name]: _absent, ...rest } = create()
          t.match((await send(user, 'POST', '', rest)).json(), { status: 400, errors: [{ pointer }] })
        }
      }
      t.equal((await send(user, 'PUT', path, {})).statusCode, 400, 'nothing to change')
      t.equal((await send(user, 'GET')).json().length, 1)
      t.equal((await send(user, 'GET', path)).body, before)
    })

    t.test('what the server sets, or clients set at creation only, is refused elsewhere', async (t) => {
      const path = await made()
      const item = (await send(alice, 'GET', path)).json()
      for (const { name, setBy } of declaration.members.filter(({ setBy }) => setBy !== 'client')) {
        const one = { [name]: item[name] }
        const posted = await send(alice, 'POST', '', { ...create(), ...one })
        t.equal(posted.statusCode, setBy === 'server' ? 400 : 201, `POST ${name}`)
        for (const method of ['PUT', 'PATCH'] as const) {
          t.equal((await send(alice, method, path, { ...change(), ...one })).statusCode, 400, `${method} ${name}`)
        }
        const update = [{ id: item.id, change: { ...change(), ...one } }]
        t.equal((await send(alice, 'POST', '/batch', { update })).statusCode, 400, `batch ${name}`)
      }
    })

    t.test('a scope admits what it names', async (t) => {
      const path = await made()
      const ask = async (scope: string, method: 'GET' | 'POST' | 'DELETE', at: string, payload?: object) =>
        (await app.inject({ ...by(alice, method, url + at, payload), headers: asUser(alice, { scope }) })).statusCode
      t.equal(await ask(`${name}:read`, 'GET', path), 200)
      t.equal(await ask(`${name}:write`, 'GET', path), 403)
      t.equal(await ask(`${name}:write`, 'GET', '/events'), 403)
      const common = { url: `/api/events?resource=${name}`, headers: asUser(alice, { scope: `${name}:write` }) }
      t.equal((await app.inject(common)).statusCode, 403)
      t.equal(await ask(`${name}:read`, 'POST', '', create()), 403)
      t.equal(await ask(`${name}:read`, 'POST', '/batch', { create: [create()] }), 403)
      t.equal(await ask(`${name}:read`, 'DELETE', path), 403)
      t.equal(await ask(`${name}:write`, 'DELETE', path), 200)
      t.equal((await send(alice, 'DELETE', path)).json().code, notFound)
    })

    t.test('a write of another version is a 412, and does nothing', async (t) => {
      for (const method of ['PUT', 'PATCH', 'DELETE'] as const) {
        const path = await made()
        const changed = await send(alice, 'PUT', path, change())
        t.equal(changed.headers.etag, '"2"')
        for (const headers of [
          { 'if-match': '"1"' },
          { 'if-match': '"3", "1"' },
          { 'if-none-match': '"2"' },
          { 'if-none-match': '"1", "2"' }
        ]) {
          const answer = await send(alice, method, path, change(), headers)
          t.match(answer.json(), { status: 412, code: 'precondition_failed' }, method)
          t.equal(answer.headers.etag, '"2"')
        }
        t.equal((await send(alice, 'GET', path)).body, changed.body)
        t.equal((await send(alice, method, path, change(), { 'if-match': '"x"' })).statusCode, 412)
        t.equal((await send(alice, method, path, change(), { 'if-match': 'x' })).statusCode, 400)
        t.equal((await send(alice, method, path, change(), { 'if-match': '"1", W/"2"' })).statusCode, 200, method)
        t.equal((await send(bob, method, path, change(), { 'if-match': '*' })).statusCode, 404, 'a foreign one')
      }
    })

    t.test('an update is later than the creation', async (t) => {
      const path = await made()
      let { updatedAt, createdAt } = (await send(alice, 'GET', path)).json()
      t.equal(updatedAt, createdAt)
      // The clock of the database may be coarse.
      for (let tries = 0; updatedAt === createdAt && tries < 500; tries++) {
        updatedAt = (await send(alice, 'PUT', path, change())).json().updatedAt
      }
      t.ok(updatedAt > createdAt, `${updatedAt} is after ${createdAt}`)
    })

    t.test('a merge patch is taken where it means the same', async (t) => {
      const path = await made()
      const headers = { 'content-type': 'application/merge-patch+json' }
      const answer = await send(alice, 'PATCH', path, change(), headers)
      t.equal(answer.statusCode, declaration.hasDocuments ? 415 : 200)
      t.equal((await send(alice, 'PUT', path, change(), headers)).statusCode, 415)
    })

    t.test('a read of what the client does not ask for is a 412', async (t) => {
      const path = await made()
      for (const at of [path, '?limit=2']) {
        const { headers, body } = await send(alice, 'GET', at)
        const other = await send(alice, 'GET', at, undefined, { 'if-match': '"other"' })
        t.match(other.json(), { status: 412, code: 'precondition_failed' })
        t.equal(other.headers.etag, headers.etag)
        t.equal((await send(alice, 'GET', at, undefined, { 'if-match': String(headers.etag) })).body, body)
      }
    })

    t.test('a read of what the client has is a 304', async (t) => {
      const path = await made()
      for (const at of [path, '?limit=2']) {
        const { headers, body } = await send(alice, 'GET', at)
        const etag = String(headers.etag)
        const same = await send(alice, 'GET', at, undefined, { 'if-none-match': etag })
        t.same([same.statusCode, same.body, same.headers.etag], [304, '', etag])
        await send(alice, 'PUT', path, change())
        const changed = await send(alice, 'GET', at, undefined, { 'if-none-match': etag })
        t.equal(changed.statusCode, 200)
        t.not(changed.body, body)
      }
    })

    t.test('a POST with a key is done once', async (t) => {
      const single = create()
      // A member of few values may have the same one again.
      const another = Array.from({ length: 50 }, create).find((body) => JSON.stringify(body) !== JSON.stringify(single))
      for (const [at, one, other] of [
        ['', single, another],
        ['/batch', { create: [create(), create()] }, { create: [create()] }]
      ] as const) {
        const user = newUser()
        const headers = { 'idempotency-key': randomUUID() }
        const first = await send(user, 'POST', at, one, headers)
        t.ok(first.statusCode < 300)
        const again = await send(user, 'POST', at, one, headers)
        t.same(
          [again.statusCode, again.body, again.headers.location],
          [first.statusCode, first.body, first.headers.location]
        )
        t.equal(again.headers['idempotency-replayed'], 'true')
        const reversed = await send(user, 'POST', at, backwards(one) as object, headers)
        t.equal(reversed.body, first.body, 'members in another order are the same request')
        const changed = await send(user, 'POST', at, other, headers)
        t.match(changed.json(), { status: 422, code: 'idempotency_key_reused' })
        t.equal((await send(user, 'GET')).json().length, at === '' ? 1 : 2)
        t.ok((await send(bob, 'POST', at, one, headers)).statusCode < 300, 'the key of somebody else is another')
      }
    })

    t.test('the largest batch is done once, and repeated from the ids of its items', async (t) => {
      const user = newUser()
      const [a, b] = [(await made(user)).slice(1), (await made(user)).slice(1)]
      const body = {
        create: Array.from({ length: 96 }, () => ({ ...create(), ...largest(declaration.members) })),
        update: [
          { id: b, change: change() },
          { id: a, change: change() },
          { id: b, change: change() }
        ],
        delete: [{ id: String((await made(user)).slice(1)) }]
      }
      const headers = { 'idempotency-key': randomUUID() }
      const first = await send(user, 'POST', '/batch', body, headers)
      t.equal(first.statusCode, 200)
      const again = await send(user, 'POST', '/batch', body, headers)
      t.equal(again.headers['idempotency-replayed'], 'true')
      const { created, updated, deleted } = again.json()
      const now = async (id: string) => (await send(user, 'GET', `/${id}`)).json()
      t.same(created, first.json().created, 'the same items in the same order')
      t.same(
        updated.map(({ id }: { id: string }) => id),
        [b, a, b]
      )
      t.same(updated.at(-1), await now(b))
      t.same(deleted, first.json().deleted)
      t.equal((await send(user, 'GET', '?limit=1&count=exact')).headers['x-total-count'], '98')
    })

    t.test('a batch is done in whole or not at all', async (t) => {
      const user = newUser()
      const [a, b, c] = [await made(user), await made(user), await made(user)].map((path) => path.slice(1))
      const foreign = (await made(bob)).slice(1)
      const listed = async () => (await send(user, 'GET')).body
      const before = await listed()
      for (const [body, status, code, pointer] of [
        [{ create: [create()], update: [{ id: foreign, change: change() }] }, 404, notFound, '/update/0'],
        [
          {
            update: [
              { id: a, change: change() },
              { id: UNKNOWN, change: change() }
            ]
          },
          404,
          notFound,
          '/update/1'
        ],
        [{ create: [create()], delete: [{ id: a }, { id: b, version: 7 }] }, 412, 'precondition_failed', '/delete/1'],
        [{ delete: Array.from({ length: 101 }, () => ({ id: a })) }, 400, 'validation_failed', '/delete'],
        [{ create: [create()], delete: Array.from({ length: 100 }, () => ({ id: a })) }, 400, 'validation_failed', '']
      ] as const) {
        const answer = await send(user, 'POST', '/batch', body)
        t.match(answer.json(), { status, code, errors: [{ pointer }] })
        t.equal(await listed(), before, 'nothing is done')
      }
      const update = [{ id: String(a).toUpperCase(), change: change(), version: 1 }]
      const done = await send(user, 'POST', '/batch', { create: [create(), create()], update, delete: [{ id: c }] })
      const { created, updated, deleted } = done.json()
      t.match(updated, [{ id: a, version: 2 }])
      t.same(deleted, [c])
      const ids = JSON.parse(await listed()).map(({ id }: { id: string }) => id)
      t.same(ids, [created[1].id, created[0].id, b, a])
    })

    t.test('a stream tells each change, with the item as it is', async (t) => {
      const user = newUser()
      const stream = await watch(t, app, user, { url: `${url}/events` })
      const common = await watch(t, app, user, { url: `/api/events?resource=${name}` })
      for (const one of [stream, common]) t.match(await one.next(), { event: 'reload' })
      /** The next event, which the common stream has too. There it names its resource. */
      const told = async () => {
        const { event, id, data } = (await stream.next()) ?? {}
        const named = String(data).replace('{', `{"resource":"${name}",`)
        t.same(await common.next(), { event, id, data: named })
        return [event, JSON.parse(String(data))]
      }
      const { name: member } = declaration.words
      const created = await send(user, 'POST', '', create(), { 'idempotency-key': randomUUID() })
      const { id } = created.json()
      t.same(await told(), ['created', { id, version: 1, [member]: created.json() }])
      const changed = await send(user, 'PATCH', `/${id}`, change())
      t.same(await told(), ['updated', { id, version: 2, [member]: changed.json() }])
      const batch = await send(user, 'POST', '/batch', { create: [create()], update: [{ id, change: change() }] })
      const { created: more, updated } = batch.json()
      t.same(await told(), ['created', { id: more[0].id, version: 1, [member]: more[0] }])
      t.same(await told(), ['updated', { id, version: 3, [member]: updated[0] }])
      await send(user, 'DELETE', `/${id}`)
      t.same(await told(), ['deleted', { id, version: 3 }])
    })
  })

  t.test(`${plural}: a user who has stored all that they may can still make it less`, async (t) => {
    const { app, url } = await serve(t, { ...subject, env: { ...subject.env, USER_STORAGE_MAX_MB: '1' } })
    const user = newUser()
    const send = (method: 'POST' | 'PUT' | 'DELETE', path: string, body?: object) =>
      app.inject(by(user, method, url + path, body))
    const big = () => largest(declaration.members)
    const texts = Object.keys(big())
    let n = 0
    const small = () => Object.fromEntries(texts.map((name) => [name, `é${n++}`]))
    const grow: string[] = []
    while (grow.length < 5) grow.push((await send('POST', '', { ...create(), ...small() })).json().id)
    let [id, answer] = ['', await send('POST', '', { ...create(), ...big() })]
    for (let tries = 0; answer.statusCode < 300 && tries < 100; tries++) {
      id = answer.json().id ?? answer.json().created[0].id
      answer = await send('POST', '/batch', { create: Array.from({ length: 50 }, () => ({ ...create(), ...big() })) })
    }
    const refused = { status: 409, code: 'quota_exceeded' }
    t.match(answer.json(), refused, 'no batch')
    for (let last = 200, tries = 0; last < 300 && tries < 500; tries++) {
      answer = await send('POST', '', { ...create(), ...big() })
      last = answer.statusCode
    }
    t.match(answer.json(), refused, 'no item')
    // The number of items may be reached before their size.
    const isByNumber = answer.json().detail !== problemMembers('quota_exceeded').detail
    if (texts.length === 0 || isByNumber) return
    t.equal((await send('PUT', `/${id}`, big())).statusCode, 200, 'what is as large as before')
    // There may be room for the texts of an item where there is none for a new item.
    const grown: number[] = []
    for (const id of grow) grown.push((await send('PUT', `/${id}`, big())).statusCode)
    t.ok(grown.includes(409), 'what is larger is refused')
    t.equal((await send('PUT', `/${id}`, small())).statusCode, 200, 'what is smaller')
  })

  t.test(`${plural}: the document names each operation and schema`, async (t) => {
    const { app, url } = await serve(t, subject)
    const { paths, tags } = (await app.inject('/openapi.json')).json()
    const { title, pluralTitle } = declaration.words
    const operations = [url, `${url}/{id}`, `${url}/batch`, `${url}/events`].flatMap((path) =>
      Object.values<{ operationId: string; summary: string }>(paths[path] ?? paths[`${path}/`])
    )
    t.same(
      operations.map(({ operationId }) => operationId).sort(),
      [
        ...['list', 'batch', 'watch'].map((verb) => verb + pluralTitle),
        ...['create', 'get', 'update', 'patch', 'delete'].map((verb) => verb + title)
      ].sort()
    )
    t.ok(operations.every(({ summary }) => summary.length > 0))
    // Clients take the examples of the document for a first request.
    // No row has the id of an example.
    const shown = declaration.members.filter(
      ({ setBy, column }) => setBy !== 'server' && !(column instanceof Reference)
    )
    const examples = shown.flatMap(({ name, schema }) =>
      Array.isArray(schema.examples) ? [[name, schema.examples[0]] as const] : []
    )
    const payload = { ...create(), ...Object.fromEntries(examples) }
    t.equal((await app.inject(by(newUser(), 'POST', url, payload))).statusCode, 201, 'the examples are good')
    t.ok(tags.some((tag: { name: string }) => tag.name === name))
  })

  t.test(`${plural}: a user takes out and deletes their own, and nobody else's (issue 20)`, async (t) => {
    const { app, url } = await serve(t, subject)
    const [alice, bob] = [newUser('alice'), newUser('bob')] as [Owner, Owner]
    for (const user of [alice, bob, alice]) await app.inject(by(user, 'POST', url, create()))
    // The embedded database has one session, which is the application's.
    await app.close()
    const client = await openDatabase(app, subject.env)
    t.teardown(() => client.close())
    const of = [declaration, ...subject.parents.map((one) => one.declaration)]
    const tables = [...new Set([...of.map(({ table }) => table), ...app.tables])]
    const rowsOf = async (user: Owner): Promise<{ table: string; row: { user_id: string } }[]> => {
      let text = ''
      const write = async (lines: string) => {
        text += lines
      }
      await exportUser(client, user, tables, write)
      const rows = text.split('\n').slice(0, -1)
      return rows.map((line) => JSON.parse(line))
    }
    const namesOf = (rows: { table: string }[]) => [...new Set(rows.map(({ table }) => table))]
    const counts = (n: number) => ({
      ...Object.fromEntries(of.map(({ tableName }) => [tableName, 2])),
      [declaration.tableName]: n
    })
    const hers = await rowsOf(alice)
    t.ok(hers.every(({ row }) => row.user_id === alice))
    const parents = subject.parents.map((one) => one.declaration.tableName)
    t.same(namesOf(hers).slice(0, of.length), [...parents, declaration.tableName], 'what others refer to comes first')
    t.equal(hers.filter(({ table }) => table === declaration.tableName).length, 2)
    t.match(await purgeUser(client, alice, tables), counts(2))
    t.same(await rowsOf(alice), [])
    t.match(await purgeUser(client, bob, tables), counts(1))
  })
}
