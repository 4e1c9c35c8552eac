import type { InjectOptions } from 'fastify'
import t from 'tap'
import { asUser, build, newUser, routesOf } from '../helper.ts'

const UNKNOWN = '01900000-0000-7000-8000-000000000000'
const MALFORMED = [
  'x',
  '1',
  'null',
  '%20',
  '%00',
  `${UNKNOWN}x`,
  UNKNOWN.slice(1),
  UNKNOWN.replaceAll('-', ''),
  `%7B${UNKNOWN}%7D`,
  `urn:uuid:${UNKNOWN}`,
  `${UNKNOWN}%00`,
  `${UNKNOWN}%0A`,
  'zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz',
  '١٢٣٤٥٦٧٨-1234-7234-8234-123456789012',
  "'%20or%20''='"
]

// Ids of RFC 9562 that are no UUIDv7: well-formed, so unknown rather than malformed, with the same answer.
const OTHER_UUIDS = [
  '00000000-0000-0000-0000-000000000000',
  'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF',
  '6ba7b810-9dad-11d1-80b4-00c04fd430c8'
]

// What a caller may say of somebody else, and must not be believed.
const lies = (victim: string): Record<string, string> => ({
  'x-user-id': victim,
  'x-forwarded-user': victim,
  'x-sub': victim,
  cookie: `user=${victim}; sub=${victim}`
})

const verbs: { method: 'GET' | 'HEAD' | 'PUT' | 'PATCH' | 'DELETE'; payload?: object; done: number }[] = [
  { method: 'GET', done: 200 },
  { method: 'HEAD', done: 200 },
  { method: 'PUT', payload: { title: 'mine' }, done: 200 },
  { method: 'PATCH', payload: { completed: true }, done: 200 },
  { method: 'DELETE', done: 200 }
]

t.test('nobody reaches the tasks of somebody else', async (t) => {
  const app = await build(t, { RATE_LIMIT_MAX: 'off' })
  const [alice, mallory] = [newUser('alice'), newUser('mallory')]

  /** All of an answer that a client can see and that may differ between two ids. */
  const visible = async (options: InjectOptions) => {
    const { statusCode, headers, rawPayload } = await app.inject(options)
    const { date: _date, 'x-request-id': _id, ...rest } = headers
    return { statusCode, headers: rest, bytes: rawPayload.toString('hex') }
  }

  for (const { method, payload, done } of verbs) {
    t.test(`${method}: own, foreign, unknown and malformed ids`, async (t) => {
      const body = payload === undefined ? {} : { payload }
      const stored = await app.inject({
        method: 'POST',
        url: '/api/tasks',
        headers: asUser(alice),
        payload: { title: 'secret', description: 'of alice' }
      })
      const url = stored.headers.location as string

      for (const liar of [{}, lies(alice)]) {
        const headers = { ...asUser(mallory), ...liar }
        const foreign = await visible({ method, url, headers, ...body })
        const unknown = await visible({ method, url: `/api/tasks/${UNKNOWN}`, headers, ...body })
        t.equal(foreign.statusCode, 404)
        t.same(foreign, unknown, 'a foreign task is answered exactly as a missing one')
        for (const id of [...MALFORMED, ...OTHER_UUIDS]) {
          t.same(await visible({ method, url: `/api/tasks/${id}`, headers, ...body }), unknown, `as is ${id}`)
        }
        if (method !== 'HEAD') {
          t.equal(
            Buffer.from(unknown.bytes, 'hex').toString(),
            '{"type":"about:blank","title":"Not Found","status":404,"detail":"Task not found","code":"task_not_found"}'
          )
        }
        const query = await visible({
          method,
          url: `${url}?userId=${alice}&user_id=${alice}&sub=${alice}`,
          headers,
          ...body
        })
        t.same(query, unknown, 'a query string names no owner')
      }

      const after = await app.inject({ url, headers: asUser(alice) })
      t.equal(after.body, stored.body, "mallory's requests changed nothing")
      t.equal(
        (await app.inject({ method, url, headers: { ...asUser(alice), ...lies(mallory) }, ...body })).statusCode,
        done
      )
    })
  }

  t.test('lists and cursors stay within their owner', async (t) => {
    const [bob, eve] = [newUser('bob'), newUser('eve')]
    for (const owner of [bob, eve, bob, eve, bob]) {
      await app.inject({
        method: 'POST',
        url: '/api/tasks',
        headers: { ...asUser(owner), ...lies(bob) },
        payload: { title: owner }
      })
    }
    const page = await app.inject({ url: '/api/tasks?limit=1', headers: asUser(bob) })
    const next = /<([^>]+)>/.exec(String(page.headers.link))?.[1] ?? ''
    for (const url of ['/api/tasks', `/api/tasks?userId=${bob}`, next]) {
      const titles = (await app.inject({ url, headers: { ...asUser(eve), ...lies(bob) } })).json()
      t.ok(
        titles.every((task: { title: string }) => task.title === eve),
        url
      )
    }
    t.equal((await app.inject({ url: '/api/tasks', headers: asUser(eve) })).json().length, 2)
  })

  t.test('owners that differ in case, accents or spaces only are different owners', async (t) => {
    const base = newUser('Zoë')
    const owners = [
      base,
      base.toLowerCase(),
      base.normalize('NFD'),
      ` ${base}`,
      `${base} `,
      `${base}%`,
      base.slice(0, -1)
    ]
    for (const owner of owners) {
      await app.inject({ method: 'POST', url: '/api/tasks', headers: asUser(owner), payload: { title: owner } })
    }
    for (const owner of owners) {
      const tasks = (await app.inject({ url: '/api/tasks', headers: asUser(owner) })).json()
      t.same(
        tasks.map((task: { title: string }) => task.title),
        [owner]
      )
    }
  })
})

t.test('every route under /api needs a token, but for the session and preflights', async (t) => {
  const app = await build(t)
  const routes = (routesOf.get(app) ?? []).filter(({ url }) => url.startsWith('/api/'))
  t.ok(routes.length >= 10, `walks ${routes.length} routes`)
  for (const { method, url } of routes) {
    const path = url.replace(':id', UNKNOWN)
    for (const headers of [{}, { 'x-user-id': 'alice', cookie: 'better-auth.session_token=x' }]) {
      const answer = await app.inject({ method: method as 'GET', url: `${path}?access_token=x`, headers })
      t.equal(answer.statusCode, path.startsWith('/api/session') ? 200 : 401, `${method} ${path}`)
    }
    t.equal((await app.inject({ method: 'OPTIONS', url: path })).statusCode, 204, `OPTIONS ${path}`)
  }
})
