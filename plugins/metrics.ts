import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fp from 'fastify-plugin'
import '../src/telemetry/metrics.ts'

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/** The time in which a request must arrive, and in which the client must receive the answer. */
const TIMEOUT_MS = 5000

/** The query is ignored, because some collectors add parameters. */
const PATH = /^\/metrics\/?(?:\?|$)/

/**
 * Serves metrics for Prometheus at `/metrics` of a separate server (`METRICS_HOST`, `METRICS_PORT`), so that clients of
 * the API cannot read them. Without `METRICS_PORT` there is no hook, and prom-client is not loaded.
 */
export default fp(
  async (app) => {
    const { metrics } = app.config
    if (metrics === undefined) return
    const { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } = await import('prom-client')
    const registry = new Registry()
    collectDefaultMetrics({ register: registry })

    const durations = new Histogram({
      name: 'http_request_duration_seconds',
      help: 'Duration of requests in seconds, by method, route pattern and status',
      labelNames: ['method', 'route', 'status'],
      buckets: SECONDS,
      registers: [registry]
    })
    app.addHook('onResponse', ({ method, exchange, routeOptions: { url = 'none' } }, reply, done) => {
      const status = exchange.aborted ? 'aborted' : reply.statusCode
      durations.observe({ method, route: url, status }, reply.elapsedTime / 1000)
      done()
    })

    // Concurrent requests share one scrape.
    let scrape: Promise<string> | undefined
    const server = createServer({ requestTimeout: TIMEOUT_MS }, async (request, response) => {
      if (!PATH.test(String(request.url))) return void response.writeHead(404).end()
      scrape ??= registry.metrics().finally(() => (scrape = undefined))
      await scrape.then(
        (text) => response.setHeader('content-type', registry.contentType).end(text),
        () => response.writeHead(500).end()
      )
    })
    // Node closes a connection that times out, unless the server has a `timeout` listener.
    server.setTimeout(TIMEOUT_MS)
    app.addHook('onReady', async () => {
      for (const { name, help, kind, read, label } of app.metrics) {
        const Metric = kind === 'counter' ? Counter : Gauge
        new Metric({
          name: `rowkeeper_${name}`,
          help,
          labelNames: label === undefined ? [] : [label],
          registers: [registry],
          collect() {
            const value = read()
            this.reset()
            if (typeof value === 'number') this.inc(value)
            else for (const [labelValue, count] of Object.entries(value)) this.labels(labelValue).inc(count)
          }
        })
      }
      server.listen(metrics.port, metrics.host)
      await once(server, 'listening')
      const { address, port } = server.address() as AddressInfo
      app.log.info({ address, port }, 'metrics at /metrics')
    })
    app.addHook('onClose', async () => {
      server.close()
      server.closeAllConnections()
    })
  },
  { name: 'metrics', dependencies: ['connections'] }
)
