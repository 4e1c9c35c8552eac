/** What an assertion says, if it says more than its name. */
export type Message = [] | [message: string]

/**
 * What the suites use of a test. A test of tap has all of it. `testOf` (`node-test.ts`) adds it to one of `node:test`.
 * An assertion that fails is recorded, and the test goes on.
 */
export interface Test {
  /** Adds a test within this one. They run in order. */
  test(name: string, run: (t: Test) => unknown): unknown
  /** Runs at the end of this test. The last that was added runs first. */
  teardown(run: () => unknown): unknown
  pass(...message: Message): unknown
  fail(...message: Message): unknown
  ok(value: unknown, ...message: Message): unknown
  /** That two values are identical (`Object.is`), or are not. */
  equal(actual: unknown, expected: unknown, ...message: Message): unknown
  not(actual: unknown, unexpected: unknown, ...message: Message): unknown
  /** That two values have the same members. */
  same(actual: unknown, expected: unknown, ...message: Message): unknown
  /** That a value has what the pattern has: members, values of the type of a constructor, texts of a RegExp. */
  match(actual: unknown, pattern: unknown, ...message: Message): unknown
}

/** A place to which a suite adds its tests. */
export type Suite = Pick<Test, 'test'>
