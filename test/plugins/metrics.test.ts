import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { asUser, buildAlone, databaseUrl, metric, newUser } from '../support/app.ts'
import { listen, openSocket, requestText, send } from '../support/http.ts'
import { keyServer } from '../support/key-server.ts'

/** Builds the application with metrics. `ask` requests a path of the metrics server. */
async function buildMeasured(
  t: import('tap').Test,
  env: Record<string, string> = {},
  extend?: (app: FastifyInstance) => void
) {
  const at: AddressInfo[] = []
  const app = await buildAlone(t, { METRICS_PORT: '0', ...env }, (app) => {
    app.log.info = (told: AddressInfo) => void at.push(told)
    app.metrics.push({ name: 'of_a_test', help: 'What a route adds', kind: 'gauge', read: () => 7 })
    extend?.(app)
  })
  const port = at.find((one) => one.port !== undefined)?.port
  return { app, port: Number(port), ask: (path = '/metrics') => fetch(`http://127.0.0.1:${port}${path}`) }
}

t.test('requests, tokens and limits are counted, by route and never by user', async (t) => {
  const { app, ask } = await buildMeasured(t, { RATE_LIMIT_MAX: '2' })
  const user = newUser()
  for (let i = 0; i < 3; i++) await app.inject({ url: '/api/session', headers: asUser(user) })
  await app.inject('/nothing/of/ours')
  const answer = await ask()
  t.match(answer.headers.get('content-type'), 'text/plain')
  const text = await answer.text()
  for (const line of [
    'http_request_duration_seconds_count{method="GET",route="/api/session",status="200"} 2',
    'http_request_duration_seconds_count{method="GET",route="/api/session",status="429"} 1',
    'http_request_duration_seconds_count{method="GET",route="none",status="404"} 1',
    'rowkeeper_limited_total{limit="user"} 1',
    'rowkeeper_limited_total{limit="anonymous"} 0',
    'rowkeeper_limits_degraded 0',
    'rowkeeper_streams 0',
    'rowkeeper_of_a_test 7'
  ]) {
    t.ok(text.includes(`${line}\n`), line)
  }
  t.match(text, /rowkeeper_tokens_total\{how="known"\} [0-3]\n/)
  t.match(text, /^nodejs_eventloop_lag_seconds /m)
  t.match(text, /^process_resident_memory_bytes /m)
  t.notMatch(text, user)
  for (const path of ['/', '/metricsx', '/?/metrics', '/x/metrics']) t.equal((await ask(path)).status, 404, path)
  for (const path of ['/metrics?x=1', '/metrics?', '/metrics/']) {
    t.match(await (await ask(path)).text(), /^rowkeeper_of_a_test 7$/m, `${path} (issue 16)`)
  }
  t.equal((await app.inject('/metrics')).statusCode, 404, 'not where the API is')
})

t.test('a request whose client left is counted as that (issue 15)', async (t) => {
  const { app, ask } = await buildMeasured(t, {}, (app) => {
    app.get('/waiting', () => new Promise(() => {}))
  })
  const socket = openSocket(await listen(app))
  const closed = new Promise((resolve) => app.server.once('connection', (one) => one.on('close', resolve)))
  socket.write(requestText('GET', '/waiting'))
  while (metric(app, 'requests_in_flight') === 0) await new Promise((resolve) => setImmediate(resolve))
  socket.resetAndDestroy()
  await closed
  const scraped = await (await ask()).text()
  t.match(scraped, 'http_request_duration_seconds_count{method="GET",route="/waiting",status="aborted"} 1\n')
  t.match(scraped, 'rowkeeper_requests_aborted_total{reason="client"} 1\n')
  t.match(scraped, 'rowkeeper_requests_in_flight 0\n')
})

t.test('however many scrape at once, the metrics are put together once (issue 15)', async (t) => {
  let reads = 0
  const { port } = await buildMeasured(t, {}, (app) => {
    app.metrics.push({ name: 'reads', help: 'Counts itself', kind: 'gauge', read: () => ++reads })
  })
  const [first, last] = [requestText('GET', '/metrics'), requestText('GET', '/metrics', { Connection: 'close' })]
  t.equal((await send(port, first + last)).text.split('rowkeeper_reads 1').length, 3)
  t.equal(reads, 1)
})

t.test('metrics that cannot be put together are a 500, and the process lives (issue 15)', async (t) => {
  const { ask } = await buildMeasured(t, {}, (app) => {
    app.metrics.push({
      name: 'broken',
      help: 'Throws',
      kind: 'gauge',
      read: () => {
        throw new Error('broken')
      }
    })
  })
  t.equal((await ask()).status, 500)
})

t.test('what the database has to do is seen', async (t) => {
  const env = { DATABASE_URL: await databaseUrl(), DATABASE_POOL_MAX: '1' }
  const { app, ask } = await buildMeasured(t, env, (app) => {
    app.get('/during', { onRequest: app.authenticate }, ({ user }) => app.transaction(user.sub, seen))
  })
  const seen = async () => (await (await ask()).text()).match(/^rowkeeper_database_\S+ \d+$/gm)
  const figures = (pending: number, busy: number) => [
    `rowkeeper_database_pending ${pending}`,
    'rowkeeper_database_queued 0',
    `rowkeeper_database_connections{state="busy"} ${busy}`,
    `rowkeeper_database_connections{state="idle"} ${1 - busy}`
  ]
  t.same(await seen(), figures(0, 0))
  t.same((await app.inject({ url: '/during', headers: asUser(newUser()) })).json(), figures(1, 1))
  t.same(await seen(), figures(0, 0))
})

t.test('the key store is seen', async (t) => {
  const server = await keyServer(t)
  const { ask } = await buildMeasured(t, { JWKS_URL: server.url, JWT_ISSUER: 'https://a.example' })
  const text = await (await ask()).text()
  t.match(text, /^rowkeeper_keys \d+$/m)
  t.match(text, /^rowkeeper_keys_age_seconds \d/m)
  t.match(text, /^rowkeeper_key_fetches_total 1$/m)
  t.match(text, /^rowkeeper_key_fetch_failures_total \d$/m)
})

t.test('a port that is taken refuses to start', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const { port } = other.address() as AddressInfo
  await t.rejects(buildAlone(t, { METRICS_PORT: String(port) }), { code: 'EADDRINUSE' })
})
