import type { Resource } from '../../src/resource/resource.ts'
import { checksSuite } from './checks.ts'
import { chosenIdsSuite } from './chosen-ids.ts'
import { historySuite } from './history.ts'
import { isolationTests } from './isolation.ts'
import { listingSuite } from './listing.ts'
import { type NodeTest, suiteOf } from './node-test.ts'
import { pagingSuite } from './paging.ts'
import { quotaSuite } from './quota.ts'
import { racesSuite } from './races.ts'
import { referencesSuite } from './references.ts'
import { removalsSuite } from './removals.ts'
import { type Subject, type SubjectOptions, subjectOf } from './subject.ts'
import type { Suite, Test } from './test.ts'
import { uniqueSuite } from './unique.ts'
import { writesSuite } from './writes.ts'

/** What a suite needs to know of a resource besides its declaration. */
export interface SuiteOptions extends SubjectOptions {
  /** How many random histories there are, of each kind. */
  runs?: number
}

/**
 * Proves that a resource keeps the whole contract of docs/api.md. It needs nothing but the declaration: bodies and
 * queries are made from its schemas. A resource that refers to others needs those too:
 * `contractSuite(test, notes, { parents: [notebooks] })`.
 *
 * The application checks each answer against the documented schema, and each statement for the owner (`build`).
 *
 * @param t the function `test` of `node:test`, or a test of tap
 * @param resource the default export of `routes/api/<name>/index.ts`
 */
export function contractSuite(
  t: Test | NodeTest,
  resource: Resource<object, object>,
  { runs = 80, ...options }: SuiteOptions = {}
): void {
  const suite = suiteOf(t)
  const subject = subjectOf(resource, options)
  isolationTests(suite, subject)
  writesSuite(suite, subject)
  listingSuite(suite, subject)
  historySuite(suite, subject, runs)
  pagingSuite(suite, subject, runs)
  constraintsSuite(suite, subject)
}

/**
 * The part of the contract that is about isolation: `isolationSuite(test, notes)` proves that a user reaches their own
 * items and nobody else's, without and with row-level security.
 *
 * @param t the function `test` of `node:test`, or a test of tap
 * @param resource the default export of `routes/api/<name>/index.ts`
 */
export function isolationSuite(
  t: Test | NodeTest,
  resource: Resource<object, object>,
  options: SubjectOptions = {}
): void {
  isolationTests(suiteOf(t), subjectOf(resource, options))
}

/** The part of the contract that is about constraints. A resource without any has ids that a create may choose. */
function constraintsSuite(t: Suite, subject: Subject): void {
  chosenIdsSuite(t, subject)
  referencesSuite(t, subject)
  removalsSuite(t, subject)
  racesSuite(t, subject)
  uniqueSuite(t, subject)
  checksSuite(t, subject)
  quotaSuite(t, subject)
}
