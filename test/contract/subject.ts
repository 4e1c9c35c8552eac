import fc from 'fast-check'
import type { FastifyInstance, InjectOptions } from 'fastify'
import type { Test } from 'tap'
import type { Declaration } from '../../src/resource/declaration.ts'
import type { Resource } from '../../src/resource/resource.ts'
import { asUser, build, routesOf } from '../support/app.ts'
import { mount } from '../support/mount.ts'
import { bodiesOf } from './values.ts'

/** A resource under test, and what its declaration says of it. */
export interface Subject {
  resource: Resource<object, object>
  declaration: Declaration
  /** The problem code of an item that is not there. */
  notFound: string
  /** Bodies that create and change items. */
  creates: fc.Arbitrary<Record<string, unknown>>
  changes: fc.Arbitrary<Record<string, unknown>>
  /** One more of each, which differs from those before. */
  create(): Record<string, unknown>
  change(): Record<string, unknown>
  env: Record<string, string>
}

const SEED = 20_261_124

/** Makes what the suites need of a resource from its declaration alone. */
export function subjectOf(resource: Resource<object, object>, env: Record<string, string> = {}): Subject {
  const { declaration } = resource
  const { creates, changes } = bodiesOf(declaration)
  let seed = SEED
  const next = (bodies: fc.Arbitrary<Record<string, unknown>>) =>
    fc.sample(bodies, { numRuns: 1, seed: seed++ })[0] as Record<string, unknown>
  return {
    resource,
    declaration,
    notFound: `${declaration.words.singular.replaceAll(' ', '_')}_not_found`,
    creates,
    changes,
    create: () => next(creates),
    change: () => next(changes),
    env: { RATE_LIMIT_MAX: 'off', ...env }
  }
}

/**
 * The application with the resource. One that `routes/` does not serve is mounted beside the others, with the same
 * hooks.
 */
export async function serve(t: Test, { resource, declaration, env }: Subject) {
  const urlOf = (app: FastifyInstance) =>
    routesOf
      .get(app)
      ?.filter((route) => route.resource() === declaration)
      .map(({ url }) => url)
      .sort((a, b) => a.length - b.length)[0]
  const app = await build(t, env, async (app) => {
    if (urlOf(app) === undefined) await mount(app, resource)
  })
  return { app, url: String(urlOf(app)) }
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
