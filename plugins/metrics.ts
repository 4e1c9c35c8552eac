import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fp from 'fastify-plugin'
import '../src/telemetry/metrics.ts'

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/** For a request to arrive, and for an answer to be taken. */
const TIMEOUT_MS = 5000

/** Some collectors add parameters of their own. */
const PATH = /^\/metrics\/?(?:\?|$)/

/**
 * Metrics for Prometheus at `/metrics` of a server of their own, on `METRICS_HOST`:`METRICS_PORT`, so that whoever
 * reaches the API does not reach them. Without `METRICS_PORT` there is nothing: no hook, and the library is not loaded.
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
      help: 'Requests by method, pattern of the route and status: how many, and how long they took',
      labelNames: ['method', 'route', 'status'],
      buckets: SECONDS,
      registers: [registry]
    })
    app.addHook('onResponse', ({ method, exchange, routeOptions: { url = 'none' } }, reply, done) => {
      const status = exchange.aborted ? 'aborted' : reply.statusCode
      durations.observe({ method, route: url, status }, reply.elapsedTime / 1000)
      done()
    })

    // However many ask at once, the figures are put together once.
    let scrape: Promise<string> | undefined
    const server = createServer({ requestTimeout: TIMEOUT_MS }, async (request, response) => {
      if (!PATH.test(String(request.url))) return void response.writeHead(404).end()
      scrape ??= registry.metrics().finally(() => (scrape = undefined))
      await scrape.then(
        (text) => response.setHeader('content-type', registry.contentType).end(text),
        () => response.writeHead(500).end()
      )
    })
    // Whoever reads nothing for so long is cut: Node closes a connection whose timeout nobody listens to.
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
            else for (const [of, one] of Object.entries(value)) this.labels(of).inc(one)
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
