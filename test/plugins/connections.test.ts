import { EventEmitter, once } from 'node:events'
import { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import { Connection, Connections, FINISH_MS, LINGER_MS } from '../../src/http/connection.ts'
import { UnsentAnswers } from '../../src/limits/unsent.ts'
import { asUser, buildAlone, metric, newUser } from '../support/app.ts'
import { listen, openSocket, requestText } from '../support/http.ts'
import { holdTimers, stopClock } from '../support/timers.ts'

const GOOD = requestText('GET', '/health/live')

/** An application that listens, with routes whose answers the test gives. */
async function listening(t: Test, env: Record<string, string> = {}, extend: (app: FastifyInstance) => void = () => {}) {
  const waiting: FastifyReply[] = []
  const begun = new EventTarget()
  const app = await buildAlone(t, env, (app) => {
    app.route({
      method: ['GET', 'POST'],
      url: '/slow',
      handler: (_request, reply) => {
        waiting.push(reply)
        begun.dispatchEvent(new Event('now'))
        return new Promise(() => {})
      }
    })
    extend(app)
  })
  const port = await listen(app)
  return {
    app,
    waiting,
    /** A client that never closes its connection. */
    dial: () => openSocket(port, { allowHalfOpen: true }).on('error', () => {}),
    /** Resolves when so many requests wait for their answers. */
    reached: async (count: number) => {
      while (waiting.length < count) await once(begun, 'now')
    },
    /** Resolves when no request is in flight, and nothing is kept for anybody. */
    idle: async () => {
      while (metric(app, 'requests_in_flight') !== 0 || metric(app, 'unsent_bytes') !== 0) {
        await new Promise((resolve) => setImmediate(resolve))
      }
    },
    alive: async () => t.equal((await app.inject('/health/live')).statusCode, 200)
  }
}

const aborted = (app: FastifyInstance) => metric(app, 'requests_aborted_total') as Record<string, number>

/** A user's route below /api, that is answered with so many bytes. */
const page = (bytes: number) => (app: FastifyInstance) => {
  const options = { onRequest: [app.authenticate, admit(app)] }
  app.get('/page', options, (_request, reply) => reply.header('etag', '"1"').send('x'.repeat(bytes)))
  app.post('/page', options, (_request, reply) => reply.send('x'.repeat(bytes)))
  app.get('/waiting', options, () => new Promise(() => {}))
}
const admit = (app: FastifyInstance) =>
  ((request, reply, done) => {
    if (app.admitExchange(request.exchange, request.user.sub)) done()
    else reply.code(429).send()
  }) as typeof app.authenticate

const requestOf = (path: string, user: string, method = 'GET', headers = {}) =>
  requestText(method, path, { ...asUser(user), 'Content-Length': '0', ...headers })

/** Resolves once the server has sent something that the client does not read. */
async function sent(app: FastifyInstance, socket: Socket, request: string) {
  socket.pause()
  socket.write(request)
  while (metric(app, 'unsent_bytes') === 0) await new Promise((resolve) => setImmediate(resolve))
}

t.test('no socket that Node hands over or gives up ends the process (issue 15)', async (t) => {
  const { app, dial, alive } = await listening(t)
  for (const bytes of [
    'CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: x\r\nExpect: more\r\n\r\n',
    'NONSENSE\r\n\r\n',
    `${GOOD}CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n`
  ]) {
    const closed = new Promise((resolve) => app.server.once('connection', (socket) => socket.on('close', resolve)))
    const socket = dial()
    await once(socket, 'connect')
    socket.write(bytes, () => socket.resetAndDestroy())
    await closed
    await alive()
  }
})

t.test('a refused client that does not close is closed after a second (issue 15)', async (t) => {
  const { fire } = holdTimers(t, LINGER_MS)
  const { dial } = await listening(t)
  for (const bytes of ['CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n', 'NONSENSE\r\n\r\n']) {
    const socket = dial()
    socket.write(bytes)
    t.match(await text(socket), /^HTTP/)
    // It goes on to send: the answer must not be lost to a reset.
    socket.write('more')
    await fire()
    await new Promise((resolve) => socket.on('close', resolve))
  }
})

for (const [what, bytes, status] of [
  ['what is no request', 'NONSENSE\r\n\r\n', 400],
  ['a CONNECT', 'CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['too long a header', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`, 431]
] as const) {
  t.test(`${what} is answered after the requests before it (RFC 9112 section 9.3.2)`, async (t) => {
    const { dial, waiting, reached } = await listening(t)
    const socket = dial()
    socket.write(`GET /slow HTTP/1.1\r\nHost: x\r\n\r\n${bytes}${bytes}`)
    await reached(1)
    waiting[0]?.send('first')
    const answers = await text(socket)
    t.match(answers, new RegExp(`^HTTP/1.1 200 .*firstHTTP/1.1 ${status} `, 's'))
    t.equal(answers.split('HTTP/1.1 ').length, 3, 'and once')
  })
}

t.test('answers that never come do not keep a refused connection (issue 15)', async (t) => {
  const { fire } = holdTimers(t, FINISH_MS)
  const { app, dial, reached, idle } = await listening(t)
  const socket = dial()
  socket.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\nNONSENSE\r\n\r\n')
  await reached(1)
  await fire()
  t.equal(await text(socket), '')
  await idle()
  t.equal(aborted(app).client, 1)
})

t.test('a fault in a body is the answer to its request, and to none that was answered (issue 15)', async (t) => {
  const { dial } = await listening(t)
  const head = 'HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n'
  const partial = dial()
  partial.write(`POST /slow ${head}\r\nnonsense\r\n`)
  t.match(await text(partial), /^HTTP\/1\.1 400 .*"code":"bad_request"/s)
  const refused = dial()
  refused.write(`POST /api/tasks ${head}\r\n`)
  await once(refused, 'data')
  refused.write('nonsense\r\n')
  t.equal(await text(refused), '', 'a 401 was said, and nothing follows')
})

t.test('a client that leaves before its answer gives its place back (issue 15)', async (t) => {
  const lines: string[] = []
  t.intercept(process.stdout, 'write', { value: (line: string) => lines.push(line) > 0, configurable: true })
  const { app, dial, waiting, reached, idle, alive } = await listening(t, { REQUESTS_MAX: '3', LOG_LEVEL: 'info' })
  lines.length = 0
  for (let round = 1; round <= 3; round++) {
    const socket = dial()
    // The second and third are queued behind the first, so their responses never had the socket.
    socket.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(3))
    await reached(3 * round)
    t.equal(metric(app, 'requests_in_flight'), 3)
    t.equal((await app.inject('/')).statusCode, 503)
    socket.resetAndDestroy()
    await idle()
    await alive()
    t.equal(aborted(app).client, 3 * round)
  }
  // An answer that comes too late reaches nobody and is not counted.
  for (const reply of waiting) reply.send('late')
  await idle()
  t.equal(metric(app, 'requests_in_flight'), 0)
  t.equal((await app.inject('/')).statusCode, 302)
  const line = JSON.parse(lines.find((line) => line.includes('aborted')) ?? '{}')
  t.match(line, { msg: 'aborted', method: 'GET', route: '/slow', status: null, user: null, reason: 'client' })
})

t.test('a stream whose client left ends, also when it waits for an answer before it (issue 15)', async (t) => {
  const closed: Promise<unknown>[] = []
  const { dial, reached, idle } = await listening(t, {}, (app) => {
    app.get('/stream', (_request, reply) => {
      const stream = new Readable({ read() {} })
      closed.push(once(stream, 'close'))
      return reply.send(stream)
    })
  })
  const socket = dial()
  socket.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /stream HTTP/1.1\r\nHost: x\r\n\r\n')
  await reached(1)
  while (closed.length === 0) await new Promise((resolve) => setImmediate(resolve))
  socket.resetAndDestroy()
  await Promise.all(closed)
  await idle()
})

t.test('a connection with more unfinished requests than anybody sends ahead is closed (issue 15)', async (t) => {
  const { app, dial, idle, alive } = await listening(t)
  const within = dial()
  within.write(GOOD.repeat(32))
  let answers = ''
  for await (const chunk of within) {
    answers += chunk
    if (answers.split('{"status":"ok"}').length === 33) break
  }
  const socket = dial()
  socket.write(GOOD.repeat(1500))
  t.ok((await text(socket)).split('{"status":"ok"}').length <= 33)
  await idle()
  t.equal(aborted(app).pipelined, 33)
  await alive()
})

t.test('a connection that takes nothing is closed, one that waits for its answer is not (issue 15)', async (t) => {
  const { app, dial, waiting, reached } = await listening(t, {}, page(8_000_000))
  app.server.timeout = 20
  const timeouts = () => once(app.server, 'timeout')
  const patient = dial()
  patient.write('GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  await reached(1)
  await timeouts()
  waiting[0]?.send('at last')
  t.match(await text(patient), /at last$/)

  const socket = dial()
  await sent(app, socket, requestOf('/page', newUser()))
  while (aborted(app).stalled === 0) await new Promise((resolve) => setImmediate(resolve))
  t.equal(metric(app, 'unsent_bytes'), 0)
  const idle = dial()
  t.equal(await text(idle), '', 'nor is one on which nothing is asked kept')
})

t.test('requests of one user that are not finished are bounded (issue 15)', async (t) => {
  const { app, dial, idle } = await listening(t, { REQUESTS_PER_USER_MAX: '2' }, page(10))
  const [alice, bob] = [newUser('alice'), newUser('bob')]
  const sockets = [dial(), dial()]
  for (const socket of sockets) socket.write(requestOf('/waiting', alice))
  while (metric(app, 'requests_in_flight') !== 2) await new Promise((resolve) => setImmediate(resolve))
  t.equal((await app.inject({ url: '/page', headers: asUser(alice) })).statusCode, 429)
  t.equal((await app.inject({ url: '/page', headers: asUser(bob) })).statusCode, 200)
  for (const socket of sockets) socket.destroy()
  await idle()
  t.equal((await app.inject({ url: '/page', headers: asUser(alice) })).statusCode, 200)
})

t.test('a route under /api answers 429 when too much of its user is not finished (issue 15)', async (t) => {
  const app = await buildAlone(t, { REQUESTS_PER_USER_MAX: '1' })
  const answers = await Promise.all([1, 2].map(() => app.inject({ url: '/api/tasks', headers: asUser('carol') })))
  const [refused] = answers.filter(({ statusCode }) => statusCode === 429)
  t.match(refused?.json(), { code: 'too_many_in_flight' })
  t.match(refused?.headers, { 'retry-after': '1', 'ratelimit-policy': undefined })
})

t.test('what the clients of one user have not taken is bounded (issue 15)', async (t) => {
  const { app, dial } = await listening(t, { UNSENT_PER_USER_MAX_MB: '9' }, page(8_000_000))
  const alice = newUser('alice')
  const socket = dial()
  await sent(app, socket, requestOf('/page', alice))
  const refused = await app.inject({ url: '/page', headers: asUser(alice) })
  t.equal(refused.statusCode, 429)
  t.match(refused.json(), { code: 'too_many_in_flight' })
  t.match(refused.headers, { 'retry-after': '1', etag: undefined })
  t.equal((await app.inject({ url: '/page', headers: asUser(newUser()) })).statusCode, 200)
  // A write that may have been done is not answered as refused. The client sees only that the connection closed.
  const writing = dial()
  writing.write(requestOf('/page', alice, 'POST'))
  t.equal(await text(writing), '')
  t.equal(aborted(app).memory, 1)
})

t.test(
  'past the total the connection that keeps the most is closed, and nobody else is refused (issue 15)',
  async (t) => {
    const { app, dial, idle } = await listening(t, { UNSENT_MAX_MB: '9' }, page(8_000_000))
    const greedy = dial()
    await sent(app, greedy, requestOf('/page', newUser()))
    t.equal((await app.inject({ url: '/page', headers: asUser(newUser()) })).statusCode, 200)
    t.equal(aborted(app).memory, 1)
    await idle()
  }
)

t.test('what a connection keeps is given back when its own answer is one too many (issue 15)', async (t) => {
  const connections = new Connections()
  const unsent = new UnsentAnswers(connections, { perUserMax: 9, perUserBytesMax: 100_000, bytesMax: 40_000 })
  const connection = connections.of(new Socket())
  const begin = () => {
    const raw = Object.assign(new EventEmitter(), { destroy: () => {} })
    const exchange = connection.begin({ raw: {} } as FastifyRequest, { raw } as unknown as FastifyReply)
    raw.on('error', () => unsent.end(exchange))
    t.ok(unsent.admit(exchange, 'alice'))
    return exchange
  }
  t.equal(unsent.reserve(begin(), 35_000), undefined)
  const second = begin()
  t.equal(unsent.reserve(second, 35_000), undefined)
  t.match(second, { aborted: true, bytes: 0 })
  t.equal(unsent.bytes, 0)
})

t.test('whoever keeps the most loses a connection, on however many they keep it (issue 15)', async (t) => {
  const { app, dial, idle } = await listening(t, { UNSENT_MAX_MB: '30' }, (app) => {
    page(8_000_000)(app)
    app.get('/honest', { onRequest: [app.authenticate, admit(app)] }, () => 'y'.repeat(9_000_000))
  })
  const greedy = newUser('greedy')
  for (let connections = 1; connections <= 3; connections++) {
    const socket = dial()
    socket.pause()
    socket.write(requestOf('/page', greedy))
    while (Number(metric(app, 'unsent_bytes')) < connections * 8_000_000) {
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const honest = dial()
  honest.write(requestOf('/honest', newUser('honest'), 'GET', { Connection: 'close' }))
  t.equal((await text(honest)).endsWith('y'.repeat(9_000_000)), true)
  t.ok(Number(aborted(app).memory) > 0)
  app.server.closeAllConnections()
  await idle()
})

t.test('a client that reads nothing is closed in time, whatever it sends (issue 15)', async (t) => {
  const advance = stopClock(t)
  const { app, dial, idle } = await listening(t, {}, page(8_000_000))
  const socket = dial()
  await sent(app, socket, requestOf('/page', newUser()))
  // Node counts each empty line as activity.
  socket.write('\r\n')
  // 30 s, and 1 s for each 8 kB.
  advance(31_000 + 1_000_000)
  while (aborted(app).stalled === 0) await new Promise((resolve) => setImmediate(resolve))
  await idle()
})

t.test('a request that leads nowhere is answered before its body (issue 15)', async (t) => {
  const { app, dial } = await listening(t)
  for (const [method, path, status] of [
    ['OPTIONS', '/api/tasks', 204],
    ['OPTIONS', '/nowhere', 404],
    ['POST', '/nowhere', 404],
    ['POST', '/api/session', 405]
  ] as const) {
    const socket = dial()
    socket.write(`${method} ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n`)
    const [answer] = await once(socket, 'data')
    t.match(String(answer), new RegExp(`^HTTP/1.1 ${status} `), `${method} ${path}`)
    t.equal(metric(app, 'requests_in_flight'), 0)
    socket.destroy()
  }
})

t.test('a user whose clients left before they were known may still ask (issue 15)', async (t) => {
  const unsent = new UnsentAnswers(new Connections(), { perUserMax: 1, perUserBytesMax: 100, bytesMax: 100 })
  const connection = new Connection(new Socket())
  const exchange = () => connection.begin({ raw: {} } as FastifyRequest, {} as FastifyReply)
  for (let times = 0; times < 3; times++) t.ok(unsent.admit({ ...exchange(), aborted: true }, 'alice'))
  t.ok(unsent.admit(exchange(), 'alice'))
  t.notOk(unsent.admit(exchange(), 'alice'))
})

t.test('an answer that is larger than the total is a 503', async (t) => {
  const { app } = await listening(t, { UNSENT_MAX_MB: '1' }, page(8_000_000))
  t.equal((await app.inject({ url: '/page', headers: asUser(newUser()) })).statusCode, 503)
})

t.test('only a connection whose client is late is closed', async (t) => {
  const connections = new Connections()
  const [early, late] = [new Socket(), new Socket()]
  for (const [socket, due] of [
    [early, Number.POSITIVE_INFINITY],
    [late, 0]
  ] as const) {
    const reply = { raw: new EventEmitter() } as unknown as FastifyReply
    Object.assign(reply.raw, { destroy: () => {} })
    connections.of(socket).begin({ raw: {} } as FastifyRequest, reply).due = due
  }
  connections.cutLate()
  t.equal(early.destroyed, false)
  t.equal(late.destroyed, true)
  early.destroy()
})
