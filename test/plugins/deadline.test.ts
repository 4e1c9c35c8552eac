import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import t from 'tap'
import { build, buildAlone } from '../helper.ts'

t.test('what takes too long is a 503, with a body or without, and a late answer changes nothing', async (t) => {
  const { setTimeout } = globalThis
  const deadlines: (() => void)[] = []
  t.intercept(globalThis, 'setTimeout', {
    value: (run: () => void, ms: number) => {
      if (ms === 4700) deadlines.push(run)
      return setTimeout(run, ms)
    }
  })
  const handled = new EventTarget()
  let finish = () => {}
  const app = await buildAlone(t, {}, (app) => {
    app.route({
      method: ['GET', 'POST'],
      url: '/slow',
      handler: () =>
        new Promise((resolve) => {
          finish = () => resolve('late')
          handled.dispatchEvent(new Event('now'))
        })
    })
  })
  for (const options of [{ method: 'GET' }, { method: 'POST', payload: { some: 'body' } }] as const) {
    const running = once(handled, 'now')
    const answering = app.inject({ url: '/slow', ...options })
    await running
    deadlines.pop()?.()
    const answer = await answering
    t.equal(answer.statusCode, 503, options.method)
    t.match(answer.json(), { code: 'unavailable' })
    t.match(answer.headers, { 'retry-after': '1', connection: 'close' })
    finish()
  }
})

t.test('an answer that was given in time is the answer', async (t) => {
  const { setTimeout } = globalThis
  const deadlines: (() => void)[] = []
  t.intercept(globalThis, 'setTimeout', {
    value: (run: () => void, ms: number) => {
      if (ms === 4700) deadlines.push(run)
      return setTimeout(run, ms)
    }
  })
  const app = await buildAlone(t)
  t.equal((await app.inject('/health/live')).statusCode, 200)
  t.doesNotThrow(() => deadlines.pop()?.())
})

t.test(
  'with its hands full an instance answers 503 at once, but for its health and what streams (issue 8)',
  async (t) => {
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
  }
)

t.test('a stopping instance is not ready, and serves until those who send requests know', async (t) => {
  const { setTimeout } = globalThis
  let over = () => {}
  t.intercept(globalThis, 'setTimeout', {
    value: (run: () => void, ms: number) => {
      if (ms === 1500) over = run
      else return setTimeout(run, ms)
    }
  })
  const app = await build(t, { NODE_ENV: 'production', BETTER_AUTH_SECRET: randomBytes(32).toString('base64') })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  t.equal((await fetch(`${address}/health/ready`)).status, 200)
  const closing = app.close()
  const ready = await fetch(`${address}/health/ready`)
  t.match(await ready.json(), { status: 503, code: 'unavailable' })
  const answer = await fetch(address)
  t.equal(answer.status, 200)
  t.equal(answer.headers.get('connection'), 'close')
  over()
  await closing
  await t.rejects(fetch(address))
})
