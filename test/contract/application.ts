import { createHmac, randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { Ajv, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'
import Fastify, { type FastifyInstance } from 'fastify'
import appPlugin, { serverOptions } from '../../src/app.ts'
import type { User } from '../../src/auth/user.ts'
import { type Config, loadConfig } from '../../src/config/config.ts'
import { type Client, openClient } from '../../src/db/client.ts'
import type { OwnedTable } from '../../src/db/owned.ts'
import { ownedTablesOf } from '../../src/db/owned-tables.ts'
import { compilerOf } from '../../src/http/validation.ts'
import type { Declaration } from '../../src/resource/declaration.ts'
import { databaseUrl } from './database.ts'
import { type NodeContext, testOf } from './node-test.ts'
import { projectUnderTest } from './setup.ts'
import { violation, watchStatements } from './statements.ts'
import type { Test } from './test.ts'

export const SECRET = 'the secret of the test suite, which is long enough'

/** The configuration of the tests. `env` adds or replaces variables. */
export async function testConfig(env: Record<string, string> = {}): Promise<Config> {
  const DATABASE_URL = env.DATABASE_URL ?? (await databaseUrl(env.DATABASE_RLS === 'true' ? 'restricted' : 'owner'))
  return loadConfig({
    NODE_ENV: 'test',
    LOG_LEVEL: 'silent',
    BETTER_AUTH_SECRET: SECRET,
    RATE_LIMIT_ANONYMOUS_MAX: 'off',
    ...env,
    DATABASE_URL
  })
}

/** Opens the database of an application that is closed. The embedded engine has one session, the application's. */
export const openDatabase = async ({ log }: FastifyInstance, env: Record<string, string> = {}): Promise<Client> =>
  openClient((await testConfig(env)).database, log, (await projectUnderTest()).migrations)

interface Route {
  method: string
  url: string
  /** The resource that it serves. */
  resource: () => Declaration | undefined
}

/** The routes of each application that was built. */
export const routesOf = new WeakMap<FastifyInstance, Route[]>()

/**
 * The real application of the project, as production starts it, on the database of this process:
 * `const app = await build(t, { RATE_LIMIT_MAX: '2' })`. It closes at the end of the test. The test fails for an answer
 * with a status or body that its route does not document, and for a statement that is not bound to its caller.
 *
 * @param given the test, of `node:test` or of tap
 * @param env variables as in the environment
 * @param extend registers more before the application starts
 * @param schema the tables of the resources, those of the project unless given
 */
export async function build(
  given: Test | NodeContext,
  env: Record<string, string> = {},
  extend?: (app: FastifyInstance) => Promise<void> | void,
  schema?: Record<string, unknown>
): Promise<FastifyInstance> {
  const t = testOf(given)
  const config = await testConfig(env)
  const project = await projectUnderTest()
  const used = schema === undefined ? project : { ...project, schema }
  const app = Fastify(serverOptions(config))
  t.teardown(() => app.close())
  app.addHook('onSend', (request, reply, payload, done) => {
    const fault = undocumented(request.routeOptions.schema?.response, reply.statusCode, payload)
    if (fault !== undefined) t.fail(`${request.method} ${request.url}: ${fault}`)
    done()
  })
  audit(t, app, ownedTablesOf(used.schema))
  const routes: Route[] = []
  routesOf.set(app, routes)
  app.addHook('onRoute', (route) => {
    // A hook of the resource, which comes later, says which one the route serves.
    const resource = () => route.config?.resource
    for (const method of [route.method].flat()) routes.push({ method, url: route.url, resource })
  })
  await app.register(appPlugin, { ...used, config })
  await extend?.(app)
  await app.ready()
  return app
}

/** The verified callers of the requests in flight, in every application of this process. */
const callers = new Map<string, string>()

/**
 * Fails `t` for every statement that names an owned table and is not bound to a verified caller of a request in flight.
 */
function audit(t: Test, app: FastifyInstance, tables: readonly OwnedTable[]): void {
  // Request ids are unique only within an application.
  const prefix = randomUUID()
  app.addHook('preHandler', (request, _reply, done) => {
    const user: User | null = request.user
    if (user !== null) callers.set(prefix + request.id, user.sub)
    done()
  })
  app.addHook('onResponse', (request, _reply, done) => {
    callers.delete(prefix + request.id)
    done()
  })
  const stop = watchStatements((statement) => {
    const fault = violation(statement, callers.values(), tables)
    if (fault !== undefined) t.fail(fault)
  })
  app.addHook('onClose', async () => stop())
}

const ajv = new Ajv({ allErrors: true, allowUnionTypes: true, strict: false })
addFormats.default(ajv)
// The service checks its own formats when it receives a value.
ajv.addFormat('text', true)

const compile = compilerOf(ajv)
/** Writing a schema as text for each answer would take long. */
const validators = new WeakMap<object, ValidateFunction>()

function validatorOf(schema: object): ValidateFunction {
  const validate = validators.get(schema) ?? compile(schema)
  validators.set(schema, validate)
  return validate
}

function undocumented(response: unknown, status: number, payload: unknown): string | undefined {
  if (response === undefined) return undefined
  const documented = (response as Record<number, { content?: Record<string, { schema: object }> }>)[status]
  if (documented === undefined) return `the status ${status} is not documented`
  const schema = documented.content === undefined ? documented : Object.values(documented.content)[0]?.schema
  if (schema === undefined || typeof (payload as Buffer | string)?.toString !== 'function') return undefined
  // A stream has no end to check here.
  if (payload instanceof Readable) return undefined
  const text = String(payload)
  // The answer to a HEAD has no body, only its length.
  if (text === '' || status === 304) return undefined
  const validate = validatorOf(schema)
  return validate(JSON.parse(text)) ? undefined : ajv.errorsText(validate.errors)
}

/** Signs a compact JWS by hand, independent of the library that verifies it. Strings are taken as they are. */
export function sign(header: object | string, payload: object | string, secret = SECRET, hash = 'sha256'): string {
  const part = (value: object | string) =>
    Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
  const input = `${part(header)}.${part(payload)}`
  return `${input}.${createHmac(hash, secret).update(input).digest('base64url')}`
}

/** The claims of a good token for `sub`; `claims` replaces or, with undefined, removes some. */
export function claimsOf(sub: string, claims: object = {}): Record<string, unknown> {
  const now = Math.floor(Date.now() / 1000)
  return { sub, iat: now, exp: now + 600, ...claims }
}

/** A good token for `sub`. */
export const tokenFor = (sub: string, claims: object = {}) => sign({ alg: 'HS256', typ: 'JWT' }, claimsOf(sub, claims))

/** Headers of a request by `sub`. */
export const asUser = (sub: string, claims: object = {}) => ({ authorization: `Bearer ${tokenFor(sub, claims)}` })

/** A user that no other test has. */
export const newUser = (name = 'user') => `${name}-${randomUUID()}`
