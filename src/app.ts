import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import { fileURLToPath } from 'node:url'
import fastifyAutoload from '@fastify/autoload'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyHttpOptions, FastifyInstance } from 'fastify'
import { type Config, loadConfig } from './config.ts'
import { loggable, problemOfFramework, refusals } from './errors.ts'
import { trustedProxies } from './limits/address.ts'
import { RequestLog } from './request-log.ts'
import { trace } from './tracing.ts'
import { schemaErrorFormatter, validatorCompiler } from './validation.ts'

declare module 'fastify' {
  interface FastifyInstance {
    config: Config
  }
}

/** The instance that routes are written for: TypeBox schemas give handlers the types of what they validated. */
export type App = FastifyInstance<
  FastifyInstance['server'],
  import('node:http').IncomingMessage,
  import('node:http').ServerResponse,
  FastifyInstance['log'],
  TypeBoxTypeProvider
>

/** Fits every valid task: 10,000 characters of description, each written as a surrogate pair of `\uXXXX` escapes. */
const BODY_LIMIT_BYTES = 128 * 1024

/** For all of a request to arrive; then it is a 408. */
const REQUEST_TIMEOUT_MS = 4000

/**
 * After so long without a packet the kernel asks the client's once a second, ten times, whether the client is there: a
 * stream whose client vanished is over before its next heartbeat.
 */
const PROBE_MS = 5000

/** For the application to start: the embedded database makes its folder in seconds, on a busy machine in many. */
const START_TIMEOUT_MS = 60_000

/** A path that no route has. */
const NOWHERE = '/.refused'

const REQUEST_ID = /^[\w.-]{8,128}$/

/** The options of the server that the application needs, whoever starts it: production, fastify-cli, the tests. */
export const serverOptions = (config: Config) =>
  ({
    logger: { level: config.logLevel, serializers: { err: loggable } },
    logController: new RequestLog(config.logLevel, config.logSecret),
    trustProxy: config.trustProxy.length > 0 && trustedProxies(config.trustProxy),
    bodyLimit: BODY_LIMIT_BYTES,
    pluginTimeout: START_TIMEOUT_MS,
    // While draining, requests on open connections are still answered, not refused.
    return503OnClosing: false,
    // Looked for twice a second; the two together stay within the deadline of plugins/deadline.ts.
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: config.keepAliveMs,
    // A request without Host is refused by plugins/problems.ts, as a problem document. With Node's default for the
    // headers, which is a minute, it forgets of a body that never ends once its request was answered.
    http: {
      connectionsCheckingInterval: 500,
      headersTimeout: REQUEST_TIMEOUT_MS,
      requireHostHeader: false,
      keepAlive: true,
      keepAliveInitialDelay: PROBE_MS
    },
    routerOptions: { ignoreTrailingSlash: true },
    // A client's own id is kept only when it is safe to log and to answer.
    genReqId: ({ headers }) => {
      const given = headers['x-request-id']
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID()
    },
    // A URL that cannot be decoded or has an overlong parameter skips hooks and error handlers. It goes round again as
    // a request that leads nowhere, to get the fields, the limits and the log line of every other.
    frameworkErrors: (error, { raw, server }, reply) => {
      refusals.set(raw, problemOfFramework(error, 'internal_error'))
      raw.url = NOWHERE
      server.routing(raw, reply.raw)
    },
    // plugins/connections.ts answers what Node's parser refuses, after the answers that come first.
    clientErrorHandler: () => {}
  }) satisfies FastifyHttpOptions<Server>

/** The same, by the environment: what fastify-cli takes (`--options`). */
export const options = serverOptions(loadConfig())

const folder = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url))

/**
 * The application: configuration, then `plugins/`, then `routes/`.
 *
 * @param opts.config the configuration, read from the environment unless given
 */
export default async function app(fastify: FastifyInstance, opts: { config?: Config }): Promise<void> {
  const config = opts.config ?? loadConfig()
  fastify.decorate('config', config)
  for (const warning of config.warnings) fastify.log.warn(warning)
  fastify.setValidatorCompiler(validatorCompiler)
  fastify.setSchemaErrorFormatter(schemaErrorFormatter('not_found'))
  // Bodies are JSON that PostgreSQL or src/errors.ts made, or small objects: no serialiser to compile for each status.
  fastify.setSerializerCompiler(() => JSON.stringify)
  await trace(fastify)
  await fastify.register(fastifyAutoload, { dir: folder('plugins'), options: {} })
  await fastify.register(fastifyAutoload, { dir: folder('routes'), options: {}, autoHooks: true, cascadeHooks: true })
}
