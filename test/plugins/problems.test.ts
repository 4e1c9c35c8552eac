import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { sql } from 'drizzle-orm'
import t, { type Test } from 'tap'
import { tasks } from '../../src/db/schema.ts'
import { FINISH_MS } from '../../src/http/connection.ts'
import { errorSerializer } from '../../src/telemetry/error-serializer.ts'
import { watchStatements } from '../contract/statements.ts'
import { asUser, build, buildAlone, newUser } from '../support/app.ts'
import { listen, openSocket, send } from '../support/http.ts'
import { holdTimers } from '../support/timers.ts'

const listening = async (t: Test, env: Record<string, string> = {}) => listen(await buildAlone(t, env))

t.test('every error of the framework is a problem document', async (t) => {
  const app = await buildAlone(t)
  const headers = { ...asUser(newUser()), 'content-type': 'application/json' }
  const cases = [
    ['an unknown path', 404, 'not_found', { url: '/nothing/here' }],
    ['an unknown path below /api', 404, 'not_found', { url: '/api/nothing' }],
    ['a URL that cannot be decoded', 400, 'bad_request', { url: '/api/tasks/%zz' }],
    ['an overlong parameter', 414, 'url_too_long', { method: 'PUT', url: `/api/tasks/${'x'.repeat(101)}` }],
    ['no JSON', 400, 'invalid_json', { payload: '{' }],
    ['an empty body', 400, 'invalid_json', { payload: '' }],
    ['text that is not UTF-8', 400, 'invalid_json', { payload: Buffer.from('{"title":"\xff"}', 'latin1') }],
    [
      'another content type',
      415,
      'unsupported_media_type',
      { payload: '<x/>', headers: { ...headers, 'content-type': 'text/xml' } }
    ],
    [
      'a form',
      415,
      'unsupported_media_type',
      { payload: 'title=x', headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' } }
    ],
    [
      'a compressed body',
      415,
      'unsupported_media_type',
      { payload: '{}', headers: { ...headers, 'content-encoding': 'gzip' } }
    ],
    ['no content type', 415, 'unsupported_media_type', { payload: Buffer.from('{"title":"x"}'), headers: asUser('x') }],
    ['a body over the limit', 413, 'body_too_large', { payload: JSON.stringify({ title: 'x'.repeat(128 * 1024) }) }]
  ] as const
  for (const [what, status, code, options] of cases) {
    const answer = await app.inject({ method: 'POST', url: '/api/tasks', headers, ...options })
    t.equal(answer.statusCode, status, what)
    t.equal(answer.headers['content-type'], 'application/problem+json; charset=utf-8', what)
    t.match(answer.json(), { type: 'about:blank', title: String, status, detail: String, code }, what)
    t.match(answer.headers['x-request-id'], /^[\w-]{36}$/, what)
  }
})

t.test('what the router refuses is limited and logged as every request', async (t) => {
  const lines: string[] = []
  t.intercept(process.stdout, 'write', { value: (line: string) => lines.push(line) > 0, configurable: true })
  const app = await build(t, { RATE_LIMIT_ANONYMOUS_MAX: '2', LOG_LEVEL: 'info' })
  lines.length = 0
  const statuses: number[] = []
  for (const url of ['/%zz', `/api/tasks/${'x'.repeat(101)}`, '/%zz']) statuses.push((await app.inject(url)).statusCode)
  t.same(statuses, [400, 414, 429])
  t.same(
    lines.filter((line) => line.includes('answered')).map((line) => JSON.parse(line).status),
    statuses
  )
  // Clients cannot use the internal path of these requests.
  t.equal((await app.inject({ url: '/.refused', headers: asUser(newUser()) })).statusCode, 404)
})

t.test('a method that a path does not have is a 405 with Allow, OPTIONS a 204 with it', async (t) => {
  const app = await buildAlone(t)
  const collection = 'GET, HEAD, OPTIONS, POST'
  const item = 'DELETE, GET, HEAD, OPTIONS, PATCH, PUT'
  for (const [url, allow, methods] of [
    ['/api/tasks', collection, ['PUT', 'PATCH', 'DELETE', 'TRACE']],
    ['/api/tasks/', collection, ['DELETE']],
    ['/api/tasks/x?y=z', item, ['POST', 'TRACE']],
    ['/api/session', 'GET, HEAD, OPTIONS', ['POST', 'DELETE']],
    ['/api/events', 'GET, HEAD, OPTIONS', ['POST', 'DELETE']],
    ['/health/live', 'GET, HEAD, OPTIONS', ['POST']],
    ['/', 'GET, HEAD, OPTIONS', ['POST']]
  ] as const) {
    for (const method of methods) {
      const answer = await app.inject({ method: method as 'PUT', url })
      t.equal(answer.statusCode, 405, `${method} ${url}`)
      t.equal(answer.headers.allow, allow)
      t.equal(answer.json().code, 'method_not_allowed')
    }
    const options = await app.inject({ method: 'OPTIONS', url })
    t.equal(options.statusCode, 204)
    t.equal(options.headers.allow, allow)
    t.equal(options.body, '')
  }
  t.equal((await app.inject({ method: 'OPTIONS', url: '/nothing' })).statusCode, 404)
})

t.test("what Node's parser refuses is a problem document too", async (t) => {
  const port = await listening(t)
  for (const [bytes, status, code] of [
    ['NONSENSE\r\n\r\n', 400, 'bad_request'],
    ['GET / HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'bad_request'],
    ['CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n', 400, 'bad_request'],
    ['POST / HTTP/1.1\r\nHost: x\r\nExpect: more\r\n\r\n', 417, 'expectation_failed'],
    ['GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n', 400, 'bad_request'],
    [`GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large']
  ] as const) {
    const answer = await send(port, bytes)
    t.equal(answer.status, status)
    t.match(answer.head, /^Content-Type: application\/problem\+json/im)
    t.match(answer.head, /^X-Request-Id: \S{36}/im)
    t.match(JSON.parse(answer.body), { status, code })
  }
})

t.test('a request names one host, or it is a 400 (issue 16, RFC 9112 section 3.2)', async (t) => {
  const port = await listening(t)
  const hosts = (...lines: string[]) => lines.map((line) => `${line}\r\n`).join('')
  const status = async (fields: string, version = '1.1') =>
    (await send(port, `GET /health/live HTTP/${version}\r\n${fields}Connection: close\r\n\r\n`)).status
  for (const fields of [
    hosts('Host: a', 'Host: b'),
    hosts('Host: a', 'Host: a'),
    hosts('Host: a', 'X-Other: Host', 'hOST: b'),
    hosts('Host:', 'Host: a'),
    hosts('Host: a, b'),
    hosts('Host: a/b'),
    hosts('Host: user@a'),
    hosts('Host: http://a'),
    hosts('Host: a:b'),
    hosts('Host: [::1')
  ]) {
    t.equal(await status(fields), 400, fields)
    t.equal(await status(fields, '1.0'), 400, `${fields} HTTP/1.0`)
  }
  t.equal(await status(''), 400)
  t.equal(await status('', '1.0'), 200)
  for (const host of ['a', 'a.b-c_d:80', '127.0.0.1:3000', '[::1]:3000', '[::ffff:127.0.0.1]', '']) {
    t.equal(await status(hosts(`X-Host: b`, `Host: ${host}`, 'X-Last: Host')), 200, host)
  }
})

t.test('a method that only Node knows is a 405 as well', async (t) => {
  const port = await listening(t)
  const answer = await send(port, 'PROPFIND /api/tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  t.equal(answer.status, 405)
  t.match(answer.head, /^allow: GET, HEAD, OPTIONS, POST/im)
})

t.test('a client that resets its connection gets nothing, and the server goes on', async (t) => {
  const port = await listening(t)
  const socket = openSocket(port)
  await once(socket, 'connect')
  socket.write('GET / HTTP/1.1\r\nHost')
  socket.resetAndDestroy()
  await once(socket, 'close')
  t.equal((await send(port, 'GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')).status, 200)
})

t.test(
  'the headers have no more time than the request, or a body that never ends is never cut (issue 8)',
  async (t) => {
    const { server } = await buildAlone(t)
    t.equal(server.headersTimeout, server.requestTimeout)
  }
)

t.test('a refusal is said on a connection that was answered before', async (t) => {
  const port = await listening(t)
  const socket = openSocket(port)
  socket.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(socket, 'data')
  socket.write(`GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`)
  t.match(await text(socket), /^HTTP\/1.1 431 .*"code":"headers_too_large"/s)
})

t.test('garbage in the middle of an answer ends the connection without another', async (t) => {
  const timers = holdTimers(t, FINISH_MS)
  const app = await buildAlone(t, {}, (app) => {
    app.get('/endless', (request, reply) => {
      reply.hijack()
      // No answer ends it, so it would keep the process for seconds.
      request.release()
      reply.raw.write('a')
    })
  })
  const socket = openSocket(await listen(app))
  socket.write('GET /endless HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(socket, 'data')
  for (let packet = 0; packet < 2; packet++) {
    const reported = once(app.server, 'clientError')
    socket.write('NONSENSE\r\n\r\n')
    await reported
  }
  await timers.fire(FINISH_MS)
  t.notMatch(await text(socket), 'HTTP/1.1')
})

t.test('an error of ours is a 500 that tells nothing, and is logged', async (t) => {
  const lines: string[] = []
  t.intercept(process.stdout, 'write', { value: (line: string) => lines.push(line) > 0, configurable: true })
  const app = await buildAlone(t, { LOG_LEVEL: 'error' }, (app) => {
    app.get('/broken', () => {
      throw new TypeError('the secret is 42')
    })
    app.get('/query', async () => {
      const query = {
        query: 'select $1',
        params: ['alice'],
        cause: Object.assign(new Error('alice'), { code: '42601' })
      }
      throw Object.assign(new Error('Failed query: select $1, params: alice'), query)
    })
  })
  const broken = await app.inject('/broken')
  const query = await app.inject('/query')
  t.equal(broken.statusCode, 500)
  t.equal(
    broken.body,
    '{"type":"about:blank","title":"Internal Server Error","status":500,"detail":"Something went wrong","code":"internal_error"}'
  )
  t.equal(query.body, broken.body)
  const [first = '', second = ''] = lines
  t.match(JSON.parse(first), { err: { message: 'the secret is 42' }, reqId: broken.headers['x-request-id'] })
  t.match(JSON.parse(second), { err: { code: '42601', message: 'select $1' } })
  t.notMatch(second, 'alice', 'parameters are not logged')
})

t.test('an unexpected database error leaves its reason in the log, and no values (issue 16)', async (t) => {
  const lines: string[] = []
  t.intercept(process.stdout, 'write', { value: (line: string) => lines.push(line) > 0, configurable: true })
  const id = randomUUID()
  const app = await build(t, { LOG_LEVEL: 'error' }, (app) => {
    const own = app.owned(tasks)
    const row = { id: sql.placeholder('id'), title: sql.placeholder('title') }
    const insert = own.prepare((own) => own.insert(row).returning({ id: tasks.id }))
    const wrong = own.prepare((own) => own.select({ n: sql`no_such_function(${tasks.title})` }))
    app.register(async (app) => {
      app.addHook('onRequest', app.authenticate)
      app.get('/unique', ({ user }) => insert(user.sub, { id, title: 'a secret' }))
      app.get('/null', ({ user }) => insert(user.sub, { id: randomUUID(), title: null }))
      app.get('/function', ({ user }) => wrong(user.sub))
      app.get('/wrapped', async ({ user }) => {
        const write = app.transaction(user.sub, (one) => insert(user.sub, { id, title: 'a secret' }, one))
        await write.catch((cause) => {
          throw new Error('not written', { cause })
        })
      })
    })
  })
  const headers = asUser('alice-of-the-log')
  t.equal((await app.inject({ url: '/unique', headers })).statusCode, 200)
  const unique = { code: '23505', table: 'tasks', constraint: 'tasks_user_id_id_pk', routine: '_bt_check_unique' }
  const reasons = {
    '/unique': { ...unique, message: /^insert into "tasks"/ },
    '/null': { code: '23502', table: 'tasks', column: 'title', routine: String },
    '/function': { code: '42883', routine: 'ParseFuncOrColumn' },
    '/wrapped': { ...unique, message: 'not written' }
  }
  for (const [url, err] of Object.entries(reasons)) {
    t.equal((await app.inject({ url, headers })).statusCode, 500)
    const line = lines.findLast((one) => one.startsWith('{')) ?? ''
    t.match(JSON.parse(line), { err, msg: 'answered 500' }, url)
    t.notMatch(line, /a secret|alice-of-the-log/)
    t.notMatch(line, id)
  }
  // Their own causes.
  const loop = Object.assign(new Error('loop'), { cause: undefined as unknown })
  loop.cause = loop
  t.match(errorSerializer(loop), { message: 'loop', code: undefined })
})

t.test(
  'a statement that every connection refuses is a 500 with its cause in the log, at once (issue 19)',
  async (t) => {
    const lines: string[] = []
    t.intercept(process.stdout, 'write', { value: (line: string) => lines.push(line) > 0, configurable: true })
    const app = await build(t, { LOG_LEVEL: 'warn' }, (app) => {
      const own = app.owned(tasks)
      const unsupported = own.prepare((own) => own.select({ n: sql`case when true then generate_series(1, 2) end` }))
      const row = { id: sql.placeholder('id'), title: 'x', completed: sql`1` }
      const misassigned = own.prepare((own) => own.insert(row).returning({ id: tasks.id }))
      app.register(async (app) => {
        app.addHook('onRequest', app.authenticate)
        app.get('/unsupported', ({ user }) => unsupported(user.sub))
        app.get('/misassigned', ({ user }) => misassigned(user.sub, { id: randomUUID() }))
        app.get('/together', ({ user }) => app.transaction(user.sub, (one) => unsupported(user.sub, {}, one)))
      })
    })
    const headers = asUser(newUser())
    let sent = 0
    t.teardown(watchStatements(({ text }) => void (/generate_series|insert/.test(text) && sent++)))
    for (const [url, code, attempts] of [
      ['/unsupported', '0A000', 1],
      // The first time the connection could have known the columns by other types.
      ['/misassigned', '42804', 2],
      ['/together', '0A000', 1]
    ] as const) {
      sent = 0
      const answer = await app.inject({ url, headers })
      t.match(answer.json(), { status: 500, code: 'internal_error' }, url)
      t.notOk(answer.headers['retry-after'], url)
      t.equal(sent, attempts, url)
      const line = lines.findLast((one) => one.startsWith('{')) ?? ''
      t.match(JSON.parse(line), { err: { code }, msg: 'answered 500' }, url)
    }
  }
)

t.test('what a database error means to the client', async (t) => {
  const codes = ['57P01', '53300', '08006', '25006', 'ECONNREFUSED', 'CONNECT_TIMEOUT', '22P02']
  const app = await buildAlone(t, {}, (app) => {
    app.get<{ Params: { code: string } }>('/:code', ({ params: { code } }) => {
      throw Object.assign(new Error('x'), { query: 'select 1', cause: Object.assign(new Error('y'), { code }) })
    })
    app.get('/direct', () => {
      throw Object.assign(new Error('x'), { query: 'select 1', code: '57014' })
    })
  })
  for (const code of codes) {
    const answer = await app.inject(`/${code}`)
    t.equal(answer.statusCode, code === '22P02' ? 400 : 503, code)
    t.equal(answer.headers['retry-after'], code === '22P02' ? undefined : '1', code)
  }
  t.equal((await app.inject('/direct')).statusCode, 503)
})

t.test("a client's own request id is kept when it is well-formed", async (t) => {
  const app = await buildAlone(t)
  const idOf = async (id: string) =>
    (await app.inject({ url: '/', headers: { 'x-request-id': id } })).headers['x-request-id']
  t.equal(await idOf('client-id.01'), 'client-id.01')
  for (const bad of ['short', 'x'.repeat(129), 'with space', 'semi;colon-x', '']) t.not(await idOf(bad), bad)
})

t.test('one line a request is logged, without its URL, headers or body', async (t) => {
  const lines: string[] = []
  t.intercept(process.stdout, 'write', { value: (line: string) => lines.push(line) > 0, configurable: true })
  const app = await build(t, { LOG_LEVEL: 'info' })
  lines.length = 0
  const user = newUser()
  await app.inject({
    method: 'POST',
    url: '/api/tasks?token=hunter2',
    headers: asUser(user),
    payload: { title: 'hunter2' }
  })
  await app.inject('/nothing/hunter2')
  const answered = lines.filter((line) => line.includes('answered'))
  t.equal(answered.length, 2)
  t.match(JSON.parse(answered[0] ?? ''), {
    method: 'POST',
    route: '/api/tasks',
    status: 201,
    ms: Number,
    reqId: String
  })
  t.match(JSON.parse(answered[1] ?? ''), { method: 'GET', route: null, status: 404 })
  t.notMatch(lines.join(), /hunter2|eyJ/)
  t.notMatch(lines.join(), user)
})

t.test('a DELETE that says it is JSON and whose chunked body is empty has none', async (t) => {
  const port = await listening(t)
  const answer = await send(
    port,
    `DELETE /api/tasks/${randomUUID()} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Authorization: ${asUser(newUser()).authorization}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`
  )
  // There is no database here.
  t.equal(answer.status, 503)
})

t.test('who is called by no name tells no metadata, over HTTP/1.0', async (t) => {
  const port = await listening(t, { JWKS_URL: 'http://127.0.0.1:1/jwks', JWT_ISSUER: 'https://a.example' })
  const path = '/.well-known/oauth-protected-resource'
  t.match(await send(port, `GET ${path} HTTP/1.0\r\n\r\n`), { status: 400, body: /bad_request/ })
  t.match(await send(port, 'GET /api/tasks HTTP/1.0\r\n\r\n'), { status: 401 })
})
