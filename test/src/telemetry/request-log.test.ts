import { createHmac } from 'node:crypto'
import { Writable } from 'node:stream'
import Fastify from 'fastify'
import fp from 'fastify-plugin'
import t from 'tap'
import appPlugin, { serverOptions } from '../../../src/app.ts'
import { RequestLog } from '../../../src/telemetry/request-log.ts'
import { asUser, newUser, testConfig } from '../../support/app.ts'

const LOG_SECRET = 'the secret of the log, which is long enough'

t.test('one line a request, of whom by a keyed hash, and nothing that was sent', async (t) => {
  const config = await testConfig({ LOG_LEVEL: 'info', LOG_SECRET, DATABASE_URL: 'postgres://127.0.0.1:1/none' })
  let text = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk
      done()
    }
  })
  const options = serverOptions(config)
  const app = Fastify({ ...options, logger: { ...options.logger, stream } })
  t.teardown(() => app.close())
  await app.register(fp(appPlugin), { config })
  await app.ready()
  text = ''

  const user = newUser('secret')
  const headers = { ...asUser(user), 'x-request-id': 'of-the-client', 'x-other': 'secret-header' }
  const payload = { title: 'secret-title', more: 1 }
  const twice = [1, 2].map(() => app.inject({ method: 'POST', url: '/api/tasks?q=secret-query', headers, payload }))
  await Promise.all(twice)
  await app.inject('/secret-path')

  const [first, second, third, ...others] = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
  const name = createHmac('sha256', LOG_SECRET).update(user).digest('base64url').slice(0, 16)
  const line = { reqId: 'of-the-client', method: 'POST', route: '/api/tasks', status: 400, ms: Number, user: name }
  t.match(first, line)
  t.match(second, line)
  t.match(third, { method: 'GET', route: null, status: 404, user: null })
  t.same(others, [])
  t.notMatch(text, /secret|Bearer|eyJ/)
})

t.test('without a secret the hash is keyed by one that nobody knows', async (t) => {
  const lines: object[] = []
  const request = {
    method: 'GET',
    routeOptions: {},
    user: { sub: 'alice' },
    exchange: { aborted: false, answered: true },
    log: { info: (line: object) => lines.push(line) }
  }
  for (let i = 0; i < 2; i++) {
    const log = new RequestLog('info')
    log.isLogDisabled = () => false
    log.requestCompleted(null, request as never, { elapsedTime: 1, statusCode: 200 } as never)
  }
  const [one, other] = lines as { user: string }[]
  t.match(one?.user, /^[\w-]{16}$/)
  t.not(one?.user, other?.user)
})

t.test('a stream that its client left has the one line of its request, one that broke another', async (t) => {
  const lines: object[] = []
  const reply = { log: { info: (line: object) => lines.push(line), warn: (line: object) => lines.push(line) } }
  const log = new RequestLog('info')
  log.isLogDisabled = () => false
  const left = Object.assign(new Error('left'), { code: 'ERR_STREAM_PREMATURE_CLOSE' })
  const broke = new Error('broke')
  for (const error of [left, broke]) log.streamError(error, {} as never, reply as never)
  t.same(lines, [{ err: broke }])
})
