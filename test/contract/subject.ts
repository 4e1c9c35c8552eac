import { getTableName } from 'drizzle-orm'
import type { PgTable } from 'drizzle-orm/pg-core'
import fc from 'fast-check'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import { referencesOf } from '../../src/db/constraints.ts'
import { uuidv7s } from '../../src/http/uuid.ts'
import type { Declaration } from '../../src/resource/declaration.ts'
import type { Member } from '../../src/resource/members.ts'
import type { Resource } from '../../src/resource/resource.ts'
import { asUser, build, routesOf } from './application.ts'
import { type Body, distinct, type Referable, referableBy, tellersOf } from './constraints.ts'
import type { Item } from './model.ts'
import { mount } from './mount.ts'
import { projectUnderTest } from './setup.ts'
import type { Test } from './test.ts'
import { bodiesOf, telling } from './values.ts'

/** A resource under test, and what its declaration says of it. */
export interface Subject {
  resource: Resource<object, object>
  declaration: Declaration
  /** The resources that it refers to, and those that they refer to: first those that others refer to. */
  parents: readonly Resource<object, object>[]
  /** The ids of the rows of `parents` that every user has (`serve`). */
  referable: Referable
  /** The problem code of an item that is not there. */
  notFound: string
  /** Bodies that create and change items. */
  creates: fc.Arbitrary<Body>
  changes: fc.Arbitrary<Body>
  /** One more of each, which differs from those before. */
  create(): Body
  change(): Body
  /** Values of a member that code is likely to get wrong. */
  valuesOf(member: Member): unknown[]
  /** The body of a create, changed such that it keeps the constraints of the table. */
  kept(body: Body): Body
  /**
   * A row of a resource that it refers to, with no more than that needs. It may be the resource itself. Without a seed
   * it is one more.
   */
  parent(declaration: Declaration, seed?: number): Body
  /** For each member that names a check: members by which an item does not hold it. */
  broken: Readonly<Record<string, Body>>
  env: Record<string, string>
}

export interface SubjectOptions {
  /** Variables as in the environment. */
  env?: Record<string, string>
  /** The resources that it refers to, and those that they refer to: first those that others refer to. */
  parents?: readonly Resource<object, object>[]
  /** Makes a body keep the checks of the table, which are SQL, so that nothing can be derived from them. */
  keepChecks?: (body: Body) => Body
  /** For each member that names a check: members by which an item does not hold it. */
  broken?: Readonly<Record<string, Body>>
}

const SEED = 20_261_124

/** The rows of each parent that every user has. */
const ROWS = 2

/** The mark of a body that is made of a seed. */
const markOf = (seed: number) => String(seed).padStart(12, '-')

/** Makes what the suites need of a resource from its declaration alone. */
export function subjectOf(
  resource: Resource<object, object>,
  { env = {}, parents = [], keepChecks = (body) => body, broken = {} }: SubjectOptions = {}
): Subject {
  const { declaration } = resource
  const referable = new Map<PgTable, readonly string[]>(
    parents.map((parent) => [parent.declaration.table, uuidv7s(ROWS)] as const)
  )
  const lacking = referencesOf(declaration.table).filter(
    ({ target }) => target !== declaration.table && !referable.has(target)
  )
  if (lacking.length > 0) {
    const names = lacking.map(({ target }) => getTableName(target)).join(', ')
    throw new Error(`${declaration.words.plural} refer to ${names}: name these resources in the option "parents".`)
  }
  const { creates, changes } = bodiesOf(declaration, { referable, keepChecks })
  // The first are those of the rows that every user has.
  let seed = SEED + ROWS
  // The samples of two seeds that differ little may be the same.
  const kept = (body: Body, isCreate: boolean) => keepChecks(distinct(declaration, body, markOf(seed++), isCreate))
  const next = (bodies: fc.Arbitrary<Body>) =>
    kept(fc.sample(bodies, { numRuns: 1, seed })[0] as Body, bodies === creates)
  // It takes long to find values that fit a schema.
  const bodiesByParent = new Map<Declaration, fc.Arbitrary<Body>>()
  const parent = (of: Declaration, ofSeed = seed++) => {
    const bodies = bodiesByParent.get(of) ?? bodiesOf(of, { referable }).creates
    bodiesByParent.set(of, bodies)
    return rowOf(of, bodies, ofSeed)
  }
  return {
    resource,
    declaration,
    parents,
    referable,
    notFound: `${declaration.words.singular.replaceAll(' ', '_')}_not_found`,
    creates,
    changes,
    create: () => next(creates),
    change: () => next(changes),
    valuesOf(member) {
      const values = referableBy(declaration, referable, member.name) ?? telling(member.schema)
      return [...values, ...(member.nullable ? [null] : [])]
    },
    kept: (body) => kept(body, true),
    parent,
    broken,
    env: { RATE_LIMIT_MAX: 'off', ...env }
  }
}

/** A test that is compiled does not see the sources, and the other way round. */
const OTHER_COPY = 'The application serves another copy of the resource'

/** The URL at which an application serves a resource. */
export const urlOf = (app: FastifyInstance, declaration: Declaration) =>
  routesOf
    .get(app)
    ?.filter((route) => route.resource() === declaration)
    .map(({ url }) => url)
    .sort((a, b) => a.length - b.length)[0]

/**
 * The application with the resource and its parents. One that `routes/` does not serve is mounted beside the others,
 * with the same hooks. A user who creates an item first gets the rows that the bodies of `subject` refer to.
 *
 * @param beside more resources
 */
export async function serve(t: Test, subject: Subject, ...beside: Resource<object, object>[]) {
  const { resource, declaration, env, parents } = subject
  const app = await build(t, env, async (app) => {
    for (const one of [...parents, resource, ...beside]) {
      if (urlOf(app, one.declaration) !== undefined) continue
      const { collection } = one.declaration.words
      const isServed = routesOf.get(app)?.some((route) => route.resource()?.words.collection === collection)
      if (isServed) throw new Error(`${OTHER_COPY} ${collection}: import it from ${(await projectUnderTest()).routes}.`)
      await mount(app, one)
    }
  })
  if (parents.length > 0) createParentsFirst(app, subject)
  return { app, url: String(urlOf(app, declaration)) }
}

/** The user of a request, if it is a POST with a token. */
function posterOf({ method, headers }: InjectOptions): string | undefined {
  const [, claims] = /^Bearer [\w-]+\.([\w-]{20,})\.[\w-]+$/.exec(String(headers?.authorization)) ?? []
  if (method !== 'POST' || claims === undefined) return undefined
  return JSON.parse(Buffer.from(claims, 'base64url').toString()).sub
}

/** A row of a parent, with no more than it needs. */
function rowOf(declaration: Declaration, bodies: fc.Arbitrary<Body>, seed: number): Body {
  const [draft = {}] = fc.sample(bodies, { numRuns: 1, seed })
  // Nothing but what tells it from others, because its checks are not known here.
  for (const { member } of tellersOf(declaration)) if (typeof draft[member.name] === 'string') draft[member.name] = ''
  const body = distinct(declaration, draft, markOf(seed), true)
  const needed = [
    ...declaration.members.filter(({ required }) => required),
    ...tellersOf(declaration).map(({ member }) => member)
  ]
  return Object.fromEntries(needed.flatMap(({ name }) => (name in body ? [[name, body[name]]] : [])))
}

/** Lets the first POST of each user wait until the user has the rows that bodies refer to. */
function createParentsFirst(app: FastifyInstance, { parents, parent, referable }: Subject): void {
  const inject = app.inject.bind(app) as (options: InjectOptions) => ReturnType<FastifyInstance['inject']>
  const batches = parents.map(({ declaration }) => {
    const ids = referable.get(declaration.table) ?? []
    const create = ids.map((id, i) => ({ ...parent(declaration, SEED + i), id }))
    return { url: `${urlOf(app, declaration)}/batch`, create }
  })
  const create = async (user: string) => {
    for (const { url, create } of batches) {
      const answer = await inject(by(user, 'POST', url, { create }))
      if (answer.statusCode !== 200) throw new Error(answer.body)
    }
  }
  const created = new Map<string, Promise<void>>()
  Object.assign(app, {
    inject: async (options: InjectOptions) => {
      const user = posterOf(options)
      if (user !== undefined) {
        const done = created.get(user) ?? create(user)
        created.set(user, done)
        await done
      }
      return inject(options)
    }
  })
}

/** The options of `inject` for a request of this user. */
export const by = (
  user: string,
  method: InjectOptions['method'],
  url: string,
  payload?: object,
  headers: Record<string, string> = {}
): InjectOptions => ({
  ...(method && { method }),
  url,
  headers: { ...asUser(user), ...headers },
  ...(payload && method !== 'GET' && method !== 'HEAD' && method !== 'DELETE' && { payload })
})

/** The URL of the next page, if there is one. */
export const nextOf = (headers: Record<string, unknown>) => /<([^>]+)>; rel="next"/.exec(String(headers.link))?.[1]

/** Sends requests of users to a resource at `url`. */
export const asking =
  (app: FastifyInstance, url: string) =>
  (user: string, method: InjectOptions['method'], path = '', body?: object, headers: Record<string, string> = {}) =>
    app.inject(by(user, method, url + path, body, headers))

export type Ask = ReturnType<typeof asking>

/** All items of a user, at most a page of them. */
export const listed = async (ask: Ask, user: string, query = ''): Promise<Item[]> =>
  (await ask(user, 'GET', `?limit=100${query}`)).json()

/** All of an answer that a client can see and that may differ between two ids. */
export function visible({ statusCode, headers, rawPayload }: LightMyRequestResponse) {
  const { date: _date, 'x-request-id': _id, ...rest } = headers
  return { statusCode, headers: rest, bytes: rawPayload.toString('hex') }
}

/** An id that is nobody's. */
export const UNKNOWN = '01900000-0000-7000-8000-000000000000'

/** Without and with row-level security, or as the environment of the subject says. */
export const wallsOf = ({ env: { DATABASE_RLS } }: Subject) =>
  DATABASE_RLS === undefined ? ['false', 'true'] : [DATABASE_RLS]

/** The subject with or without row-level security. */
export const behind = (subject: Subject, rls: string): Subject => ({
  ...subject,
  env: { ...subject.env, DATABASE_RLS: rls }
})
