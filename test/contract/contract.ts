import type { Test } from 'tap'
import type { Resource } from '../../src/resource/resource.ts'
import { historySuite } from './history.ts'
import { isolationSuite } from './isolation.ts'
import { listingSuite } from './listing.ts'
import { pagingSuite } from './paging.ts'
import { subjectOf } from './subject.ts'
import { writesSuite } from './writes.ts'

interface Options {
  /** Variables as in the environment. */
  env?: Record<string, string>
  /** How many random histories there are, of each kind. */
  runs?: number
}

/**
 * Proves that a resource keeps the whole contract of docs/api.md. It needs nothing but the declaration: bodies and
 * queries are made from its schemas.
 *
 * The application checks each answer against the documented schema, and each statement for the owner
 * (`test/support/app.ts`).
 *
 * @param resource the default export of `routes/api/<name>/index.ts`
 */
export function contractSuite(
  t: Test,
  resource: Resource<object, object>,
  { env = {}, runs = 80 }: Options = {}
): void {
  const subject = subjectOf(resource, env)
  isolationSuite(t, subject)
  writesSuite(t, subject)
  listingSuite(t, subject)
  historySuite(t, subject, runs)
  pagingSuite(t, subject, runs)
}
