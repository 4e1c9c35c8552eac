import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { trace } from '../../../src/telemetry/tracing.ts'
import { asUser, buildAlone, newUser, testConfig } from '../../support/app.ts'

interface Attribute {
  key: string
  value: { stringValue?: string; intValue?: number }
}
interface Span {
  name: string
  traceId: string
  parentSpanId?: string
  attributes: Attribute[]
  status: { code: number; message?: string }
}
interface Traces {
  resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { spans: Span[] }[] }[]
}

/** Receives OTLP over HTTP, as a collector does. */
async function collector(t: Test) {
  const got: Traces[] = []
  const server = createServer(async (request, response) => {
    if (request.url === '/v1/traces') got.push((await json(request)) as Traces)
    response.end('{}')
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close().closeAllConnections())
  await once(server, 'listening')
  return { got, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

const valuesOf = (attributes: Attribute[] = []) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue]))

t.test('a request is a span under its traceparent, and tells no secret', async (t) => {
  const { got, url } = await collector(t)
  const boom = (app: import('fastify').FastifyInstance) =>
    void app.get('/boom', async () => {
      throw new Error('of a secret')
    })
  const app = await buildAlone(t, { OTEL_EXPORTER_OTLP_ENDPOINT: `${url}/` }, boom)
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  const parent = 'b7ad6b7169203331'
  const user = newUser('secret')
  const headers = { ...asUser(user), traceparent: `00-${traceId}-${parent}-01`, cookie: 'secret' }
  const id = '0190163d-8694-739b-aea5-966c26f8ad91'
  await app.inject({ url: `/api/tasks/${id}?q=secret`, headers })
  await app.inject({ url: '/api/tasks?q=secret', headers: { authorization: 'Bearer secret' } })
  await app.inject('/secret/path?secret')
  await app.inject('/boom')
  await app.inject('/health/live')
  await app.close()

  const { resource, scopeSpans } = got[0]?.resourceSpans[0] ?? {}
  t.equal(valuesOf(resource?.attributes)['service.name'], 'rowkeeper')
  const spans = (scopeSpans ?? []).flatMap(({ spans }) => spans)
  t.same(
    spans.map(({ name, attributes }) => [name, valuesOf(attributes)['http.response.status_code']]),
    [
      ['GET /api/tasks/:id', 503],
      ['GET /api/tasks', 401],
      ['GET none', 404],
      ['GET /boom', 500]
    ]
  )
  t.match(spans[0], { traceId, parentSpanId: parent, status: { code: 2 } })
  t.not(spans[1]?.traceId, traceId, 'a trace of its own without a traceparent')
  t.notMatch(JSON.stringify(got), /secret|Bearer|eyJ/)
  t.notMatch(JSON.stringify(got), id)
})

t.test('without the packages it says what to do, and without an endpoint it does nothing', async (t) => {
  const missing = () => Promise.reject(new Error('Cannot find package'))
  const appWith = async (env: Record<string, string>) => {
    const config = await testConfig({ DATABASE_URL: 'postgres://x/y', ...env })
    return Fastify().decorate('config', config)
  }
  await t.rejects(trace(await appWith({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' }), missing), {
    message: /^OTEL_EXPORTER_OTLP_ENDPOINT needs @fastify\/otel .* docs\/running\.md .*Cannot find package/
  })
  await t.resolves(trace(await appWith({}), missing))
})
