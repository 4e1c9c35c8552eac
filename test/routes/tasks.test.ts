import t from 'tap'
import { asUser, build, newUser } from '../support/app.ts'
import { client as clientOf } from '../support/http.ts'

const UNKNOWN = '00000000-0000-4000-8000-000000000000'

t.test('the contract of /api/tasks', async (t) => {
  const app = await build(t, { RATE_LIMIT_MAX: 'off' })
  const client = (headers = asUser(newUser())) => clientOf(app, headers)

  t.test('a task is created, read, changed in part, listed and deleted', async (t) => {
    const request = client()
    const created = await request('POST', '', {
      title: 'Buy "milk" 🥛',
      description: 'Two\nlitres',
      dueAt: '2030-01-31T10:00:00.123456+02:00'
    })
    t.equal(created.statusCode, 201)
    const task = created.json()
    t.match(task, { title: 'Buy "milk" 🥛', description: 'Two\nlitres', completed: false, version: 1 })
    t.equal(task.dueAt, '2030-01-31T08:00:00.123456+00:00', 'in UTC, to the microsecond')
    t.match(task.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/, 'a UUIDv7')
    t.equal(created.headers.location, `/api/tasks/${task.id}`)
    t.equal(created.headers.etag, '"1"')
    t.notOk('userId' in task || 'user_id' in task, 'the owner stays on the server')

    const read = await request('GET', `/${task.id}`)
    t.equal(read.body, created.body)
    t.equal(read.headers.etag, '"1"')
    t.match(read.headers['content-type'], 'application/json')
    t.equal((await request('GET', `/${task.id.toUpperCase()}/`)).body, read.body, 'in any case, with a trailing slash')

    const head = await request('HEAD', `/${task.id}`)
    t.equal(head.statusCode, 200)
    t.equal(head.headers.etag, '"1"')
    t.equal(head.headers['content-length'], String(Buffer.byteLength(read.body)))
    t.equal(head.body, '')

    const changed = await request('PUT', `/${task.id}`, { completed: true })
    t.equal(changed.statusCode, 200)
    t.match(changed.json(), { title: task.title, description: task.description, completed: true, version: 2 })
    t.equal(changed.headers.etag, '"2"')
    t.ok(changed.json().updatedAt >= task.updatedAt)
    t.equal(changed.json().createdAt, task.createdAt)

    const patched = await app.inject({
      method: 'PATCH',
      url: created.headers.location as string,
      headers: { ...asUser('nobody'), 'content-type': 'application/merge-patch+json' },
      payload: '{"title":"x"}'
    })
    t.equal(patched.statusCode, 404, 'not by somebody else')
    const cleared = await request('PATCH', `/${task.id}`, { description: null, dueAt: null, title: 'Milk' })
    t.match(cleared.json(), { title: 'Milk', description: null, dueAt: null, completed: true, version: 3 })

    t.same((await request('GET')).json(), [cleared.json()], 'the same in the list')
    const deleted = await request('DELETE', `/${task.id}`)
    t.equal(deleted.statusCode, 200)
    t.equal(deleted.body, '{"detail":"Task deleted"}')
    t.equal((await request('GET', `/${task.id}`)).statusCode, 404)
    t.equal((await request('GET', '/')).body, '[]')
  })

  t.test('PATCH takes a merge patch (RFC 7396), and only PATCH does', async (t) => {
    const { authorization } = asUser(newUser())
    const { id } = (await client({ authorization })('POST', '', { title: 'a' })).json()
    const headers = { authorization, 'content-type': 'application/merge-patch+json; charset=utf-8' }
    const inject = (method: 'POST' | 'PATCH' | 'PUT', url: string) =>
      app.inject({ method, url, headers, payload: '{"title":"b"}' })
    t.equal((await inject('POST', '/api/tasks')).statusCode, 415)
    t.equal((await inject('PUT', `/api/tasks/${id}`)).statusCode, 415)
    t.equal((await inject('PATCH', `/api/tasks/${id}`)).json().title, 'b')
  })

  t.test('the list is paged by keyset, newest first', async (t) => {
    const request = client()
    const ids: string[] = []
    for (let i = 0; i < 7; i++) {
      // Text that looks like the JSON around it must not confuse where a page is cut.
      ids.unshift((await request('POST', '', { title: `${i} {"id":"`, description: '},{"id":"' })).json().id)
    }
    const pages: string[][] = []
    let path: string | undefined = '?limit=3'
    while (path !== undefined) {
      const page = await request('GET', path)
      pages.push(page.json().map((task: { id: string }) => task.id))
      path = /^<\/api\/tasks(\?[^>]+)>; rel="next", <\/api\/tasks\?limit=3>; rel="first"$/.exec(
        String(page.headers.link)
      )?.[1]
    }
    t.same(pages, [ids.slice(0, 3), ids.slice(3, 6), ids.slice(6)])
    const full = await request('GET', '?limit=7')
    t.equal(full.json().length, 7)
    t.equal(full.headers.link, '</api/tasks?limit=7>; rel="first"', 'no next page when the last one is just full')
    t.equal((await request('GET', '?limit=7&sortOf=unknown')).statusCode, 200, 'unknown parameters are ignored')
  })

  t.test('the list is capped from the start', async (t) => {
    const request = client()
    for (let i = 0; i < 51; i++) await request('POST', '', { title: `${i}` })
    const page = await request('GET')
    t.equal(page.json().length, 50)
    t.match(page.headers.link, /limit=50&cursor=/)
  })

  for (const query of [
    'limit=0',
    'limit=101',
    'limit=x',
    'limit=1.5',
    'limit=5.0',
    'limit=0x10',
    'limit=1e1',
    'limit=-1',
    'limit=%2B5',
    'limit=%205',
    'limit=5%20',
    'limit=%D9%A5',
    'limit=null',
    'limit=true',
    'limit=',
    'cursor=x',
    'cursor=',
    'limit=1&limit=2'
  ]) {
    t.test(`?${query} is a 400`, async (t) => {
      const answer = await client()('GET', `?${query}`)
      t.equal(answer.statusCode, 400)
      t.match(answer.json(), { code: 'validation_failed', errors: [{ in: 'query', pointer: /^\/(limit|cursor)$/ }] })
    })
  }

  const LONGEST = '\u{1f600}'.repeat(200)
  const escaped = (count: number) => '\\ud83d\\ude00'.repeat(count)
  t.test('the longest task fits, whatever way it is written', async (t) => {
    const answer = await client()('POST', '', `{"title":"${escaped(200)}","description":"${escaped(10_000)}"}`)
    t.equal(answer.statusCode, 201)
    t.equal(answer.json().title, LONGEST)
    t.equal([...answer.json().description].length, 10_000)
  })

  const faults: [what: string, body: object | string, pointer: string][] = [
    ['no title', {}, '/title'],
    ['an empty title', { title: '' }, '/title'],
    ['a title of 201 characters', { title: `${LONGEST}x` }, '/title'],
    ['a number as title', { title: 1 }, '/title'],
    ['null as title', { title: null }, '/title'],
    ['a description of 10,001 characters', { title: 'a', description: 'x'.repeat(10_001) }, '/description'],
    ['text as completed', { title: 'a', completed: 'true' }, '/completed'],
    ['null as completed', { title: 'a', completed: null }, '/completed'],
    ['an owner', { title: 'a', userId: 'bob' }, '/userId'],
    ['an owner by its column', { title: 'a', user_id: 'bob' }, '/user_id'],
    ['an id', { title: 'a', id: UNKNOWN }, '/id'],
    ['a creation time', { title: 'a', createdAt: '2026-01-01T00:00:00Z' }, '/createdAt'],
    ['a version', { title: 'a', version: 7 }, '/version'],
    ['a member with a slash and a tilde', { title: 'a', 'x/~y': 1 }, '/x~1~0y'],
    ['__proto__', '{"title":"a","__proto__":{"userId":"bob"}}', '/__proto__'],
    ['constructor', '{"title":"a","constructor":{"prototype":{}}}', '/constructor'],
    ['U+0000 in the title', { title: 'a\u0000b' }, '/title'],
    ['U+0000 in the description', { title: 'a', description: '\u0000' }, '/description'],
    ['a lone surrogate', '{"title":"a\\ud800"}', '/title'],
    ['an array', '[]', ''],
    ['null', 'null', ''],
    ['text', '"title"', ''],
    ...[
      'tomorrow',
      '2026-02-30T00:00:00Z',
      '2026-01-01T00:00:00',
      '2026-01-01',
      '2026-01-01T24:00:00Z',
      '2026-13-01T00:00:00Z'
    ].map((dueAt): [string, object, string] => [`${dueAt} as dueAt`, { title: 'a', dueAt }, '/dueAt']),
    ...[
      '2026-01-01T00:00:60Z',
      '2026-01-01T00:00:00+24:00',
      '0000-01-01T00:00:00Z',
      '9999-12-31T23:59:59-00:01',
      '0001-01-01T00:00:00+00:01',
      '0000-12-31T23:30:00-01:00',
      '2026-01-01T00:00:00.1234567Z'
    ].map((dueAt): [string, object, string] => [`${dueAt} as dueAt`, { title: 'a', dueAt }, '/dueAt']),
    ['a number as dueAt', { title: 'a', dueAt: 1 }, '/dueAt']
  ]
  for (const [what, body, pointer] of faults) {
    t.test(`${what} is a 400 that points to it`, async (t) => {
      const request = client()
      const answer = await request('POST', '', body)
      t.equal(answer.statusCode, 400)
      t.match(answer.headers['content-type'], 'application/problem+json')
      const { code, errors } = answer.json()
      t.equal(code, 'validation_failed')
      t.same(new Set(errors.map((error: { pointer: string }) => error.pointer)), new Set([pointer]))
      t.equal((await request('GET')).body, '[]', 'nothing was stored')
    })
  }

  t.test('every fault of a body is told at once, up to 20', async (t) => {
    const request = client()
    const many = await request('POST', '', { title: '', completed: 1, userId: 'bob' })
    t.same(
      many
        .json()
        .errors.map((error: { pointer: string }) => error.pointer)
        .sort(),
      ['/completed', '/title', '/userId']
    )
    const flood = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`x${i}`, 1]))
    t.equal((await request('POST', '', flood)).json().errors.length, 20)
  })

  for (const dueAt of [
    '2026-01-01T00:00:00z',
    '2026-01-01t00:00:00-00:00',
    '0001-01-01T00:00:00Z',
    '9999-12-31T23:59:59Z',
    '2024-02-29T12:00:00+14:00'
  ]) {
    t.test(`${dueAt} is a due date`, async (t) => {
      const answer = await client()('POST', '', { title: 'a', dueAt })
      t.equal(answer.statusCode, 201)
      t.equal(Date.parse(answer.json().dueAt), Date.parse(dueAt.toUpperCase()))
    })
  }

  t.test('an empty update is a 400, as is one of an owner or a cleared title', async (t) => {
    const request = client()
    const { id } = (await request('POST', '', { title: 'a' })).json()
    for (const body of [{}, { userId: 'bob' }, { title: null }, { version: 1 }]) {
      for (const method of ['PUT', 'PATCH'] as const) {
        t.equal((await request(method, `/${id}`, body)).statusCode, 400, `${method} ${JSON.stringify(body)}`)
      }
    }
    t.match((await request('GET', `/${id}`)).json(), { title: 'a', version: 1 })
  })

  t.test('a DELETE may have a JSON content type and no body', async (t) => {
    const request = client()
    const { id } = (await request('POST', '', { title: 'a' })).json()
    t.equal((await request('DELETE', `/${id}`, '')).statusCode, 200)
  })

  t.test('a DELETE without a body may name any content type, one with a body only JSON (issue 16)', async (t) => {
    const request = client()
    const remove = (path: string, fields: Record<string, string>, payload?: string) =>
      request('DELETE', path, payload, fields)
    const types = ['text/plain', 'text/plain;charset=UTF-8', 'application/x-www-form-urlencoded', 'multipart/form-data']
    for (const type of [...types, 'application/merge-patch+json', 'application/json', 'none', '']) {
      for (const length of [{}, { 'content-length': '0' }] as Record<string, string>[]) {
        const { id } = (await request('POST', '', { title: 'a' })).json()
        const { statusCode } = await remove(`/${id}`, { 'content-type': type, ...length })
        t.equal(statusCode, 200, `${type} ${JSON.stringify(length)}`)
      }
      t.equal((await remove(`/${UNKNOWN}`, { 'content-type': type })).statusCode, 404, type)
    }
    const { id } = (await request('POST', '', { title: 'a' })).json()
    for (const type of types) t.equal((await remove(`/${id}`, { 'content-type': type }, 'x')).statusCode, 415, type)
    t.equal((await request('GET', `/${id}`)).statusCode, 200, 'which does nothing')
  })

  t.test('a scope limits what a token may do (RFC 9068)', async (t) => {
    const user = newUser()
    const may = async (scope: string) => {
      const request = client(asUser(user, { scope }))
      const answers = [
        await request('GET'),
        await request('HEAD'),
        await request('GET', `/${UNKNOWN}`),
        await request('POST', '', { title: 'a' }),
        await request('PUT', `/${UNKNOWN}`, { title: 'a' }),
        await request('PATCH', `/${UNKNOWN}`, { title: 'a' }),
        await request('DELETE', `/${UNKNOWN}`)
      ]
      return answers.map((answer) => answer.statusCode)
    }
    t.same(await may('tasks:read'), [200, 200, 404, 403, 403, 403, 403])
    t.same(await may('tasks:write'), [403, 403, 403, 201, 404, 404, 404])
    t.same(await may('openid tasks:write tasks:read'), [200, 200, 404, 201, 404, 404, 404])
    t.same(await may(''), [403, 403, 403, 403, 403, 403, 403])
    const refused = await client(asUser(user, { scope: 'profile' }))('GET')
    t.equal(refused.json().detail, "You don't have permission to access this resource")
    t.match(refused.headers['www-authenticate'], /^Bearer error="insufficient_scope", /)
  })
})
