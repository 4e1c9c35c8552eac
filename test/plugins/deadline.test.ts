import { once } from 'node:events'
import t from 'tap'
import { buildAlone } from '../helper.ts'

t.test('what takes too long is a 503, with a body or without, and a late answer changes nothing', async (t) => {
  const { setTimeout } = globalThis
  const deadlines: (() => void)[] = []
  t.intercept(globalThis, 'setTimeout', {
    value: (run: () => void, ms: number) => {
      if (ms === 4900) deadlines.push(run)
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
      if (ms === 4900) deadlines.push(run)
      return setTimeout(run, ms)
    }
  })
  const app = await buildAlone(t)
  t.equal((await app.inject('/health/live')).statusCode, 200)
  t.doesNotThrow(() => deadlines.pop()?.())
})
