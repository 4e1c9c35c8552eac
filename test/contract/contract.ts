import type { Test } from 'tap'
import type { Resource } from '../../src/resource/resource.ts'
import { checksSuite } from './checks.ts'
import { chosenIdsSuite } from './chosen-ids.ts'
import { historySuite } from './history.ts'
import { isolationSuite } from './isolation.ts'
import { listingSuite } from './listing.ts'
import { pagingSuite } from './paging.ts'
import { quotaSuite } from './quota.ts'
import { racesSuite } from './races.ts'
import { referencesSuite } from './references.ts'
import { removalsSuite } from './removals.ts'
import { type Subject, type SubjectOptions, subjectOf } from './subject.ts'
import { uniqueSuite } from './unique.ts'
import { writesSuite } from './writes.ts'

interface Options extends SubjectOptions {
  /** How many random histories there are, of each kind. */
  runs?: number
}

/**
 * Proves that a resource keeps the whole contract of docs/api.md. It needs nothing but the declaration: bodies and
 * queries are made from its schemas. A resource that refers to others needs those too.
 *
 * The application checks each answer against the documented schema, and each statement for the owner
 * (`test/support/app.ts`).
 *
 * @param resource the default export of `routes/api/<name>/index.ts`
 */
export function contractSuite(t: Test, resource: Resource<object, object>, { runs = 80, ...options }: Options = {}) {
  const subject = subjectOf(resource, options)
  isolationSuite(t, subject)
  writesSuite(t, subject)
  listingSuite(t, subject)
  historySuite(t, subject, runs)
  pagingSuite(t, subject, runs)
  constraintsSuite(t, subject)
}

/** The part of the contract that is about constraints. A resource without any has ids that a create may choose. */
export function constraintsSuite(t: Test, subject: Subject): void {
  chosenIdsSuite(t, subject)
  referencesSuite(t, subject)
  removalsSuite(t, subject)
  racesSuite(t, subject)
  uniqueSuite(t, subject)
  checksSuite(t, subject)
  quotaSuite(t, subject)
}
