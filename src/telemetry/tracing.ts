import type { ReadableSpan } from '@opentelemetry/sdk-trace-node'
import type { FastifyInstance } from 'fastify'
import { ConfigError } from '../config/config.ts'

/** For the last spans to be sent while the process ends, within what it has for that (`src/server.ts`). */
const EXPORT_TIMEOUT_MS = 3000

type Packages = [
  Pick<typeof import('@fastify/otel'), 'FastifyOtelInstrumentation'>,
  Pick<typeof import('@opentelemetry/exporter-trace-otlp-http'), 'OTLPTraceExporter'>,
  Omit<typeof import('@opentelemetry/resources'), 'default'>,
  Omit<typeof import('@opentelemetry/sdk-trace-node'), 'default'>
]

/** Nobody has to install these, and nobody who does not trace loads them. */
const packages = (): Promise<Packages> =>
  Promise.all([
    import('@fastify/otel'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/sdk-trace-node')
  ])

/**
 * Sends a span for each request to `OTEL_EXPORTER_OTLP_ENDPOINT`, a child of what the client's `traceparent` names (W3C
 * Trace Context). Without that variable there is nothing. It must come before every plugin, to see what they refuse.
 *
 * A span says what a log line does: never a URL, a header or the text of an error, which may hold secrets.
 *
 * @throws {ConfigError} when the packages are not installed
 */
export async function trace(app: FastifyInstance, load = packages): Promise<void> {
  const endpoint = app.config.tracesEndpoint
  if (endpoint === undefined) return
  const [{ FastifyOtelInstrumentation }, { OTLPTraceExporter }, resources, sdk] = await load().catch((error) => {
    throw new ConfigError([
      'OTEL_EXPORTER_OTLP_ENDPOINT needs @fastify/otel and api, exporter-trace-otlp-http, resources and sdk-trace-node of ' +
        `@opentelemetry: install them as docs/running.md says, or unset it (${error.message}).`
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
    // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
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
