import { AssertionError } from 'node:assert'
import { isDeepStrictEqual } from 'node:util'
import { matches } from './match.ts'
import { shown } from './property.ts'
import type { Message, Suite, Test } from './test.ts'

/** The function `test` of `node:test`. */
export type NodeTest = (name: string, run: (context: NodeContext) => Promise<void>) => unknown

/** What a test of `node:test` gets. */
export interface NodeContext {
  test: NodeTest
  after(run: () => Promise<void>): void
}

const isTest = (given: Test | NodeContext): given is Test => 'teardown' in given

/** The tests that were adapted already. */
const adapted = new WeakMap<NodeContext, NodeTests>()

/** A test of tap as it is, or one of `node:test` with what the suites use. */
export function testOf(given: Test | NodeContext): Test {
  return isTest(given) ? given : adapt(given)
}

/**
 * The place for the tests of a suite: a test of tap, or the function `test` of `node:test`, which adds them to its
 * file.
 *
 * @throws {TypeError} for anything else
 */
export function suiteOf(given: Test | NodeTest): Suite {
  if (typeof given === 'function') return { test: (name, run) => given(name, (context) => adapt(context).run(run)) }
  if (isTest(given)) return given
  throw new TypeError('A suite needs the function `test` of node:test, or a test of tap.')
}

type Run = (t: Test) => unknown

function adapt(context: NodeContext): NodeTests {
  const known = adapted.get(context)
  if (known !== undefined) return known
  const tests = new NodeTests(context)
  adapted.set(context, tests)
  return tests
}

/**
 * A test of `node:test`. It keeps what failed until its end, because an error that is thrown in a hook of Fastify would
 * change the answer.
 */
class NodeTests implements Test {
  readonly #context: NodeContext
  readonly #teardowns: (() => unknown)[] = []
  readonly #added: (() => unknown)[] = []
  #failures: Error[] = []

  constructor(context: NodeContext) {
    this.#context = context
    context.after(() => this.#end())
  }

  /** Runs a test, then those that were added within it. `node:test` cancels one that its parent does not wait for. */
  async run(run: Run): Promise<void> {
    await run(this)
    for (const one of this.#added) await one()
    this.#report()
  }

  /** Runs even if the test threw. Whatever fails meanwhile fails the test, and the rest is still torn down. */
  async #end(): Promise<void> {
    for (const one of this.#teardowns.reverse()) {
      try {
        await one()
      } catch (error) {
        this.#failures.push(error as Error)
      }
    }
    this.#report()
  }

  #report(): void {
    const [first, ...more] = this.#failures
    this.#failures = []
    if (first === undefined) return
    if (more.length === 0) throw first
    const errors = [first, ...more]
    throw new AggregateError(errors, errors.map(({ message }) => message).join('\n'))
  }

  #fail(message: string, operator: 'fail' | 'ok' | 'equal' | 'not' | 'same' | 'match', values: object = {}): void {
    const error = new AssertionError({ message, operator, ...values })
    // The stack begins where the assertion is called.
    Error.captureStackTrace(error, this[operator])
    this.#failures.push(error)
  }

  #compare(holds: boolean, operator: 'equal' | 'same' | 'match', message: string, actual: unknown, expected: unknown) {
    if (holds) return
    this.#fail(`${message}: got ${shown(actual)}, not ${shown(expected)}`, operator, { actual, expected })
  }

  test(name: string, run: Run): void {
    this.#added.push(() => this.#context.test(name, (context) => adapt(context).run(run)))
  }

  teardown(run: () => unknown): void {
    this.#teardowns.push(run)
  }

  pass(): void {}

  fail(...[message = 'it fails']: Message): void {
    this.#fail(message, 'fail')
  }

  ok(value: unknown, ...[message = 'it holds']: Message): void {
    if (!value) this.#fail(message, 'ok', { actual: value, expected: true })
  }

  equal(actual: unknown, expected: unknown, ...[message = 'it is equal']: Message): void {
    this.#compare(Object.is(actual, expected), 'equal', message, actual, expected)
  }

  not(actual: unknown, unexpected: unknown, ...[message = 'it is another']: Message): void {
    if (Object.is(actual, unexpected)) this.#fail(`${message}: got ${shown(actual)}`, 'not', { actual })
  }

  same(actual: unknown, expected: unknown, ...[message = 'it is the same']: Message): void {
    this.#compare(isDeepStrictEqual(actual, expected), 'same', message, actual, expected)
  }

  match(actual: unknown, pattern: unknown, ...[message = 'it matches']: Message): void {
    this.#compare(matches(actual, pattern), 'match', message, actual, pattern)
  }
}
