import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import t from 'tap'
import { DEADLINE_MS } from '../../plugins/deadline.ts'
import type { Deadline } from '../../src/http/deadline.ts'
import { build, buildAlone, metric } from '../support/app.ts'
import { holdTimers, stopClock } from '../support/timers.ts'

t.test('what takes too long is a 503, with a body or without, and a late answer changes nothing', async (t) => {
  const { fire } = holdTimers(t, DEADLINE_MS)
  let finish = () => {}
  let deadline: Deadline | undefined
  const app = await buildAlone(t, {}, (app) => {
    app.route({
      method: ['GET', 'POST'],
      url: '/slow',
      handler: (request) => {
        deadline = request.deadline
        return new Promise((resolve) => (finish = () => resolve('late')))
      }
    })
  })
  for (const options of [{ method: 'GET' }, { method: 'POST', payload: { some: 'body' } }] as const) {
    const answering = app.inject({ url: '/slow', ...options })
    await fire()
    const answer = await answering
    t.equal(answer.statusCode, 503, options.method)
    t.match(answer.json(), { code: 'unavailable' })
    t.match(answer.headers, { 'retry-after': '1', connection: 'close' })
    finish()
  }
  t.equal(deadline?.over, true)
})

t.test('an answer that was given in time is the answer, and ends the deadline', async (t) => {
  let deadline: Deadline | undefined
  const app = await buildAlone(t, {}, (app) => {
    app.get('/quick', (request) => {
      deadline = request.deadline
      return 'done'
    })
  })
  t.equal((await app.inject('/quick')).statusCode, 200)
  t.equal(deadline?.over, true)
  t.equal(metric(app, 'requests_in_flight'), 0)
})

t.test('the time of an answer that is being read slowly is not up (issue 15)', async (t) => {
  const { fire } = holdTimers(t, DEADLINE_MS)
  const app = await buildAlone(t, {}, (app) => {
    // The documentation page is such an answer: it begins late, and goes on.
    app.get('/file', (_request, reply) => reply.send(Readable.from(file())))
  })
  const begun = new EventTarget()
  let more = () => {}
  async function* file() {
    yield 'a'
    begun.dispatchEvent(new Event('now'))
    await new Promise<void>((resolve) => (more = resolve))
    yield 'b'
  }
  const beginning = once(begun, 'now')
  const answering = app.inject('/file')
  await beginning
  t.equal(metric(app, 'requests_in_flight'), 0)
  // The only timer left is that of the next request.
  const next = app.inject('/health/live')
  await Promise.race([fire(), next])
  more()
  t.match(await answering, { statusCode: 200, body: 'ab' })
})

t.test('a full instance answers 503 at once, but for its health and what streams (issue 8)', async (t) => {
  const finish: (() => void)[] = []
  const handled = new EventTarget()
  const app = await buildAlone(t, { REQUESTS_MAX: '2' }, (app) => {
    app.get('/slow', () => {
      handled.dispatchEvent(new Event('now'))
      return new Promise((resolve) => finish.push(() => resolve('done')))
    })
    app.get('/stream', (request, reply) => {
      reply.hijack()
      request.release()
      request.release()
      finish.push(() => reply.raw.end())
      handled.dispatchEvent(new Event('now'))
    })
  })
  const ask = async (url: string) => {
    const now = once(handled, 'now')
    const answer = app.inject(url)
    await now
    return answer.then(({ statusCode }) => statusCode)
  }
  // `inject` answers when the request ends, so none of these is waited for yet.
  const answers = [ask('/stream'), ask('/slow'), ask('/slow')]
  while (finish.length < 3) await once(handled, 'now')
  const shed = await app.inject('/')
  t.match(shed.json(), { status: 503, code: 'unavailable' })
  t.match(shed.headers, { 'retry-after': '1', 'x-request-id': String, 'x-content-type-options': 'nosniff' })
  t.equal((await app.inject('/health/live')).statusCode, 200)
  for (const one of finish) one()
  t.same(await Promise.all(answers), [200, 200, 200])
  t.equal((await app.inject('/openapi.json')).statusCode, 200, 'and goes on')
})

t.test('a request for the health of the instance takes no place from others (issue 15)', async (t) => {
  const finish: (() => void)[] = []
  const app = await buildAlone(t, { REQUESTS_MAX: '1' }, (app) => {
    app.get('/health/slow', () => new Promise((resolve) => finish.push(() => resolve('done'))))
  })
  const slow = app.inject('/health/slow').then(({ statusCode }) => statusCode)
  while (finish.length === 0) await new Promise((resolve) => setImmediate(resolve))
  t.equal(metric(app, 'requests_in_flight'), 0)
  t.equal((await app.inject('/')).statusCode, 302)
  for (const one of finish) one()
  t.equal(await slow, 200)
  t.equal(metric(app, 'requests_in_flight'), 0)
})

t.test('an instance that has refused requests for seconds is not ready (issue 15)', async (t) => {
  const advance = stopClock(t)
  const finish: (() => void)[] = []
  const app = await build(t, { REQUESTS_MAX: '1' }, (app) => {
    app.get('/slow', () => new Promise((resolve) => finish.push(() => resolve('done'))))
  })
  const ready = async () => (await app.inject('/health/ready')).statusCode
  const slow = app.inject('/slow').then(({ statusCode }) => statusCode)
  while (finish.length === 0) await new Promise((resolve) => setImmediate(resolve))
  const refuse = async () => t.equal((await app.inject('/')).statusCode, 503)
  await refuse()
  for (let second = 0; second < 3; second++) {
    t.equal(await ready(), 200, `after ${second} s`)
    advance(1000)
    await refuse()
  }
  t.equal(await ready(), 503)
  advance(1001)
  t.equal(await ready(), 200, 'nothing was refused for a second')
  await refuse()
  t.equal(await ready(), 200, 'the time is counted anew')
  for (const one of finish) one()
  t.equal(await slow, 200)
})

t.test('a stopping instance is not ready, and serves until those who send requests know', async (t) => {
  const app = await build(t, { NODE_ENV: 'production', BETTER_AUTH_SECRET: randomBytes(32).toString('base64') })
  const { fire } = holdTimers(t, app.config.shutdownDelayMs)
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  t.equal((await fetch(`${address}/health/ready`)).status, 200)
  const closing = app.close()
  const ready = await fetch(`${address}/health/ready`)
  t.match(await ready.json(), { status: 503, code: 'unavailable' })
  const answer = await fetch(address)
  t.equal(answer.status, 200)
  t.equal(answer.headers.get('connection'), 'close')
  await fire()
  await closing
  await t.rejects(fetch(address))
})
