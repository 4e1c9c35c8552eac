import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { Server } from 'node:http'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import fastifyAutoload from '@fastify/autoload'
import type { FastifyHttpOptions, FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import auth from '../plugins/auth.ts'
import connections from '../plugins/connections.ts'
import cors from '../plugins/cors.ts'
import database from '../plugins/database.ts'
import deadline from '../plugins/deadline.ts'
import drain from '../plugins/drain.ts'
import headers from '../plugins/headers.ts'
import inFlight from '../plugins/in-flight.ts'
import jsonBody from '../plugins/json-body.ts'
import metrics from '../plugins/metrics.ts'
import notFound from '../plugins/not-found.ts'
import openapi from '../plugins/openapi.ts'
import problems from '../plugins/problems.ts'
import rateLimit from '../plugins/rate-limit.ts'
import requestChecks from '../plugins/request-checks.ts'
import requestId from '../plugins/request-id.ts'
import stores from '../plugins/stores.ts'
import streams from '../plugins/streams.ts'
import protect from '../routes/api/autohooks.ts'
import { type Config, ConfigError, loadConfig } from './config/config.ts'
import { ownedTablesOf } from './db/owned-tables.ts'
import type { App } from './http/application.ts'
import { problemOfFramework } from './http/framework-errors.ts'
import { BODY_LIMIT_BYTES } from './http/json-body.ts'
import { validatorCompiler } from './http/validation.ts'
import { schemaErrorFormatter } from './http/validation-errors.ts'
import { trustedProxies } from './limits/address.ts'
import { loadProject, type Project } from './project.ts'
import { errorSerializer } from './telemetry/error-serializer.ts'
import { RequestLog } from './telemetry/request-log.ts'
import { trace } from './telemetry/tracing.ts'

/** The time in which a whole request must arrive. A slower one gets a 408. */
const REQUEST_TIMEOUT_MS = 4000

/**
 * TCP keepalive: after so long without a packet the kernel probes the client once a second, ten times. The stream of a
 * client that vanished ends before its next heartbeat.
 */
const KEEPALIVE_PROBE_MS = 5000

/** The time in which the application must start. The embedded database takes seconds for its folder, or longer. */
const START_TIMEOUT_MS = 60_000

/** A path that no route has. */
const UNROUTABLE = '/.unroutable'

const REQUEST_ID = /^[\w.-]{8,128}$/

/** The options of the server, the same for production, fastify-cli, the tests and the load test. */
export const serverOptions = (config: Config) =>
  ({
    logger: { level: config.logLevel, serializers: { err: errorSerializer } },
    logController: new RequestLog(config.logLevel, config.logSecret),
    trustProxy: config.trustProxy.length > 0 && trustedProxies(config.trustProxy),
    bodyLimit: BODY_LIMIT_BYTES,
    pluginTimeout: START_TIMEOUT_MS,
    // While the instance drains, requests on open connections are still answered.
    return503OnClosing: false,
    // Node checks it twice a second (below), so the two together stay within the deadline of plugins/deadline.ts.
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: config.keepAliveMs,
    http: {
      connectionsCheckingInterval: 500,
      // With Node's default of a minute, Node forgets a body that never ends once its request was answered.
      headersTimeout: REQUEST_TIMEOUT_MS,
      // plugins/request-checks.ts refuses a request without Host, with a problem document.
      requireHostHeader: false,
      keepAlive: true,
      keepAliveInitialDelay: KEEPALIVE_PROBE_MS
    },
    routerOptions: { ignoreTrailingSlash: true },
    // A client's own id is kept only when it is safe to log and to answer.
    genReqId: ({ headers }) => {
      const given = headers['x-request-id']
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID()
    },
    // A URL that cannot be decoded or has an overlong parameter skips hooks and error handlers. It is routed again to a
    // path that no route has, so that it gets the header fields, the limits and the log line of every other request.
    frameworkErrors: (error, { raw, server }, reply) => {
      server.routerErrors.set(raw, problemOfFramework(error, 'internal_error'))
      raw.url = UNROUTABLE
      server.routing(raw, reply.raw)
    },
    // plugins/connections.ts answers what Node's parser refuses, after the answers that come before it.
    clientErrorHandler: () => {}
  }) satisfies FastifyHttpOptions<Server>

/** The routes that every application has, such as health and session. In this repository they are all. */
const ROUTES = fileURLToPath(new URL('../routes', import.meta.url))

const AUTOLOAD = { options: {}, autoHooks: true, cascadeHooks: true }

/** The resource of this repository. The package does not have it. A project that is started here may have its own. */
const TASKS = 'api/tasks'

/** URLs that are `/api`, or that a request below it can have. */
const BELOW_API = /^\/(?:api(?:\/|$)|[:*])/i

/** Refuses a route that would be served to anybody although its URL says that it is for verified callers. */
function refuseOutsideApi({ url }: { url: string }): void {
  if (!BELOW_API.test(url)) return
  throw new ConfigError([
    `The route ${url} is not in the folder routes/api, so it would ask nobody for a token: ` +
      'move its file there, or give it a URL that is not below /api.'
  ])
}

/** The routes of an application that installed the package. Those of its folder `api` are for verified callers only. */
async function applicationRoutes(fastify: FastifyInstance, { routes }: { routes: string }): Promise<void> {
  await fastify.register(async (open) => {
    open.addHook('onRoute', refuseOutsideApi)
    // Not even the hooks in the folder `api` are loaded here: they may have routes, too.
    await open.register(fastifyAutoload, { ...AUTOLOAD, dir: routes, ignorePattern: /^api$/ })
  })
  const api = join(routes, 'api')
  if (!existsSync(api)) return
  await fastify.register(
    async (context) => {
      await protect(context as unknown as App)
      await context.register(fastifyAutoload, { ...AUTOLOAD, dir: api })
    },
    { prefix: '/api' }
  )
}

/** What is wrong with the folders of a project. */
function* folderFaults({ routes, migrations }: Project): Generator<string> {
  if (!existsSync(routes)) yield `There is no folder ${routes}, which has the routes.`
  if (!existsSync(join(migrations, 'meta', '_journal.json'))) {
    yield `There are no migrations in ${migrations}: run npx rowkeeper generate.`
  }
}

/** Finds the project that is served, with the whole paths of its folders. */
async function projectOf({ schema, sources, prefix, ...given }: Options): Promise<Project> {
  if (prefix !== undefined) throw new ConfigError(['rowkeeper takes no prefix: its routes are below /api.'])
  const found = schema === undefined ? await loadProject(sources) : { ...DEFAULTS, ...given, schema }
  const project = { ...found, routes: resolve(found.routes), migrations: resolve(found.migrations) }
  const faults = [...folderFaults(project)]
  if (faults.length > 0) throw new ConfigError(faults)
  return project
}

/** Where a project has its routes and its migrations, unless it says so. */
const DEFAULTS = { routes: 'routes', migrations: 'drizzle' }

/** The options of the application. */
export interface Options extends Partial<Project> {
  /** The configuration, read from the environment unless given. */
  config?: Config
  /** Whether the sources of the project are loaded, and not its build (`src/project.ts`). */
  sources?: boolean
  /** Not taken: the routes of a project are where its folders are, and those of its resources below `/api`. */
  prefix?: string
}

/**
 * The application: the configuration, the plugins, then the routes.
 *
 * The order of the plugins is the order of their hooks: a request meets the `onRequest` hooks from top to bottom.
 * Authentication and the limits of users are hooks of the routes under `/api` (`routes/api/autohooks.ts`), and so come
 * after all of these. `test/src/app.test.ts` holds the order.
 *
 * It is not encapsulated: `frameworkErrors` above gets the root instance, and needs the decorators of the plugins.
 *
 * @param opts.schema the module that exports the tables. Without it, all of a project is found by its layout
 * @param opts.routes the folder of the routes, relative to the working directory
 * @param opts.migrations the folder of the migrations
 */
export default fp(
  async (fastify, opts: Options) => {
    const { config = loadConfig() } = opts
    const project = await projectOf(opts)
    fastify.decorate('config', config)
    for (const warning of config.warnings) fastify.log.warn(warning)
    fastify.setValidatorCompiler(validatorCompiler)
    fastify.setSchemaErrorFormatter(schemaErrorFormatter('not_found'))
    // Bodies are JSON that PostgreSQL or src/http/problems.ts made, or small objects. No serializer has to be compiled.
    fastify.setSerializerCompiler(() => JSON.stringify)
    // Tracing wraps the hooks that are added after it.
    await trace(fastify)

    // Decorators that the others use. They add no hooks that a request meets before authentication.
    await fastify.register(rateLimit)
    await fastify.register(auth)

    // Every answer has an exchange, whose client may leave at any time.
    await fastify.register(connections)
    // Every answer carries these fields, errors included.
    await fastify.register(headers)
    await fastify.register(requestId)
    await fastify.register(problems)
    // A malformed request is refused before any work is done for it.
    await fastify.register(requestChecks)
    // A preflight ends here: it carries no token, and has no place in flight.
    await fastify.register(cors)
    const tables = ownedTablesOf(project.schema)
    await fastify.register(database, { tables, migrations: project.migrations })
    await fastify.register(stores)
    // The bound on requests in flight, and the deadline. They cover unknown paths too, so they come before not-found.
    await fastify.register(inFlight)
    await fastify.register(deadline)
    await fastify.register(drain)
    await fastify.register(jsonBody)
    await fastify.register(metrics)
    // Unknown paths and methods: authenticated, limited and answered before their body arrives.
    await fastify.register(notFound)
    await fastify.register(openapi, project.info === undefined ? {} : { info: project.info })
    await fastify.register(streams)

    const { routes } = project
    const isOwn = routes === resolve(ROUTES)
    const ignorePattern = !isOwn && existsSync(join(routes, TASKS)) ? RegExp(`^${TASKS}$`) : /^$/
    await fastify.register(fastifyAutoload, { ...AUTOLOAD, dir: ROUTES, ignorePattern })
    if (!isOwn) await fastify.register(applicationRoutes, { routes })
  },
  { name: 'rowkeeper' }
)
