import { createHmac, randomUUID } from 'node:crypto'
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import { sql } from 'drizzle-orm'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { drizzle } from 'drizzle-orm/postgres-js'
import Fastify, { type FastifyInstance } from 'fastify'
import pino from 'pino'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import appPlugin, { serverOptions } from '../../src/app.ts'
import type { User } from '../../src/auth/user.ts'
import { type Config, loadConfig } from '../../src/config/config.ts'
import { openClient } from '../../src/db/client.ts'
import { MIGRATIONS, migrate, versionsOf } from '../../src/db/migrate.ts'
import * as schema from '../../src/db/schema.ts'
import type { Declaration } from '../../src/resource/declaration.ts'
import { violation, watchStatements } from './statements.ts'
import { createTestTables, testSchema } from './tables.ts'
import { TEMPLATE } from './template.ts'

/** This repository, with more tables whose rows belong to users. */
export const projectOf = (more: Record<string, unknown>) => ({
  schema: { ...schema, ...more },
  routes: ROUTES,
  migrations: MIGRATIONS
})

const ROUTES = fileURLToPath(new URL('../../routes', import.meta.url))

export const SECRET = 'the secret of the test suite, which is long enough'

/**
 * The migrated database of this test process: a copy of the embedded template, or with `TEST_DATABASE_URL` (an
 * administrator's) a new database on that server. It is made on first use and removed with the process. `restricted` is its
 * URL for a role that row-level security binds.
 */
let databases: Promise<{ owner: string; restricted: string }> | undefined
export async function databaseUrl(user: 'owner' | 'restricted' = 'owner'): Promise<string> {
  databases ??= makeDatabase()
  return (await databases)[user]
}

/** The script that `TEST_DATABASE_SCRIPT` names, for the tests of a database that an operator has changed. */
const script = () => {
  const file = process.env.TEST_DATABASE_SCRIPT
  return file === undefined ? 'select 1' : readFileSync(file, 'utf8')
}

async function makeDatabase() {
  const server = process.env.TEST_DATABASE_URL
  if (server === undefined) {
    const folder = mkdtempSync(join(tmpdir(), 'rowkeeper-test-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    cpSync(TEMPLATE, join(folder, 'pg'), { recursive: true })
    const url = `pglite://${join(folder, 'pg')}`
    if (process.env.TEST_DATABASE_SCRIPT !== undefined) {
      const { db, close } = await openClient(
        (await testConfig({ DATABASE_URL: url })).database,
        pino({ level: 'silent' })
      )
      await db.execute(sql.raw(script()))
      await close()
    }
    return { owner: url, restricted: url }
  }
  const name = `rowkeeper_test_${process.pid}_${Date.now()}`
  const admin = postgres(server, { max: 1, onnotice: () => {} })
  await admin.unsafe(`create database ${name}`)
  const owner = Object.assign(new URL(server), { pathname: `/${name}` })
  const client = postgres(owner.href, { max: 1, onnotice: () => {} })
  await migrate(drizzle({ client }))
  await createTestTables(drizzle({ client }))
  // These migrations belong to the next version. They are not recorded, because running instances do not check again.
  const later = process.env.TEST_LATER_MIGRATIONS
  for (const { folderMillis, sql: statements } of later === undefined
    ? []
    : readMigrationFiles({ migrationsFolder: later })) {
    if (!versionsOf(MIGRATIONS).application.includes(folderMillis))
      for (const statement of statements) await client.unsafe(statement)
  }
  await client.unsafe(documentedRole(name))
  await client.unsafe(script())
  await client.end()
  t.teardown(async () => {
    await admin.unsafe(`drop database ${name} with (force)`)
    await admin.unsafe(`drop role ${name}`)
    await admin.end()
  })
  return { owner: owner.href, restricted: Object.assign(new URL(owner), { username: name, password: name }).href }
}

/** The statements by which an operator makes the role of `DATABASE_RLS`, for a role `name` with that password. */
function documentedRole(name: string): string {
  const [, block = ''] = /^```sql\n([\s\S]*?)^```$/m.exec(readFileSync('docs/row-level-security.md', 'utf8')) ?? []
  return block.replaceAll('rowkeeper', name).replace('…', name)
}

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

interface Route {
  method: string
  url: string
  /** The resource that it serves. */
  resource: () => Declaration | undefined
}

/** The routes of each application that was built. */
export const routesOf = new WeakMap<FastifyInstance, Route[]>()

/** The value of a metric (`src/telemetry/metrics.ts`): a number, or one for each value of its label. */
export const metric = (app: FastifyInstance, name: string) => app.metrics.find((one) => one.name === name)?.read()

/**
 * The real application, as production starts it, on this process's database. It closes at the end of `t`. An answer
 * with a status or body that its route does not document fails the test.
 *
 * @param env variables as in the environment, `{ RATE_LIMIT_MAX: '2' }`
 * @param extend registers more before the application starts
 * @param more tables whose rows belong to users, by any names
 */
export async function build(
  t: Test,
  env: Record<string, string> = {},
  extend?: (app: FastifyInstance) => Promise<void> | void,
  more: Record<string, unknown> = testSchema
): Promise<FastifyInstance> {
  const config = await testConfig(env)
  const app = Fastify(serverOptions(config))
  t.teardown(() => app.close())
  app.addHook('onSend', (request, reply, payload, done) => {
    const fault = undocumented(request.routeOptions.schema?.response, reply.statusCode, payload)
    if (fault !== undefined) t.fail(`${request.method} ${request.url}: ${fault}`)
    done()
  })
  audit(t, app)
  const routes: Route[] = []
  routesOf.set(app, routes)
  app.addHook('onRoute', (route) => {
    // A hook of the resource, which comes later, says which one the route serves.
    const resource = () => route.config?.resource
    for (const method of [route.method].flat()) routes.push({ method, url: route.url, resource })
  })
  await app.register(appPlugin, { config, ...projectOf(more) })
  await extend?.(app)
  await app.ready()
  return app
}

/** The application without a database, which saves its start. Requests that need the database are answered 503. */
export const buildAlone: typeof build = (t, env, extend) =>
  build(t, { DATABASE_URL: 'postgres://127.0.0.1:1/none', ...env }, extend)

/** The verified callers of the requests in flight, in every application of this process. */
const callers = new Map<string, string>()

/**
 * Fails `t` for every statement that names an owned table and is not bound to a verified caller of a request in flight.
 */
function audit(t: Test, app: FastifyInstance): void {
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
    const fault = violation(statement, callers.values())
    if (fault !== undefined) t.fail(fault)
  })
  app.addHook('onClose', async () => stop())
}

const ajv = new Ajv({ allErrors: true, allowUnionTypes: true, strict: false })
addFormats.default(ajv)
// The service checks its own formats when it receives a value.
ajv.addFormat('text', true)

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
  return ajv.validate(schema, JSON.parse(text)) ? undefined : ajv.errorsText()
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
