import type { ReadableSpan } from '@opentelemetry/sdk-trace-node'
import type { FastifyInstance } from 'fastify'
import { ConfigError } from '../config/config.ts'

/** Time to send the last spans while the process ends. It must be less than `DRAIN_MS` in `src/server.ts`. */
const EXPORT_TIMEOUT_MS = 3000

type Packages = [
  Pick<typeof import('@fastify/otel'), 'FastifyOtelInstrumentation'>,
  Pick<typeof import('@opentelemetry/exporter-trace-otlp-http'), 'OTLPTraceExporter'>,
  Omit<typeof import('@opentelemetry/resources'), 'default'>,
  Omit<typeof import('@opentelemetry/sdk-trace-node'), 'default'>
]

/** Loads the optional packages. They are loaded only when tracing is on. */
const packages = (): Promise<Packages> =>
  Promise.all([
    import('@fastify/otel'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/sdk-trace-node')
  ])

/**
 * Sends a span for each request to `OTEL_EXPORTER_OTLP_ENDPOINT`. The span is a child of the one in the client's
 * `traceparent` (W3C Trace Context). Without the variable, nothing is traced. Call this before the plugins are
 * registered, so that requests that they refuse are traced too.
 *
 * A span contains what a log line contains: never a URL, a header or the text of an error, which may hold secrets.
 *
 * @throws {ConfigError} when the packages are not installed
 */
export async function trace(app: FastifyInstance, load = packages): Promise<void> {
  const endpoint = app.config.tracesEndpoint
  if (endpoint === undefined) return
  const [{ FastifyOtelInstrumentation }, { OTLPTraceExporter }, resources, sdk] = await load().catch((error) => {
    throw new ConfigError([
      'OTEL_EXPORTER_OTLP_ENDPOINT needs @fastify/otel and the packages api, exporter-trace-otlp-http, resources and ' +
        `sdk-trace-node of @opentelemetry: install them as docs/running.md says, or unset it (${error.message}).`
    ])
  })

  class Spans extends sdk.BatchSpanProcessor {
    override onEnd(span: ReadableSpan) {
      delete span.status.message
      super.onEnd(span)
    }
  }
  const url = `${endpoint.replace(/\/$/, '')}/v1/traces`
  const provider = new sdk.NodeTracerProvider({
    // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence.
    resource: resources
      .resourceFromAttributes({ 'service.name': 'rowkeeper' })
      .merge(resources.detectResources({ detectors: [resources.envDetector] })),
    spanProcessors: [new Spans(new OTLPTraceExporter({ url, timeoutMillis: EXPORT_TIMEOUT_MS }))]
  })
  provider.register()

  const otel = new FastifyOtelInstrumentation({
    instrumentHandler: false,
    instrumentHooks: false,
    recordExceptions: false,
    ignorePaths: ({ url }) => url.startsWith('/health/'),
    requestHook: (span, { method, routeOptions: { url = 'none' } }) => {
      span.updateName(`${method} ${url}`).setAttribute('url.path', url)
    }
  })
  otel.setTracerProvider(provider)
  await app.register(otel.plugin())
  app.addHook('onClose', () => provider.shutdown())
}
