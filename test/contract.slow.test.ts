import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { tasks } from '../src/db/schema.ts'
import { resource } from '../src/resource/resource.ts'
import { isolationSuite } from './contract/index.ts'
import { matches } from './contract/match.ts'
import { type NodeContext, testOf } from './contract/node-test.ts'
import { serve, subjectOf } from './contract/subject.ts'
import type { Test } from './contract/test.ts'
import { telling } from './contract/values.ts'
import './support/app.ts'
import { foldersResource, papersResource } from './support/papers.ts'

/** Runs a file of `test/fixtures` with the test runner of Node, and returns its exit code and what it printed. */
async function runNodeTest(name: string) {
  const file = fileURLToPath(new URL(`./fixtures/${name}.js`, import.meta.url))
  const child = spawn(process.execPath, ['--enable-source-maps', '--test', '--test-reporter=tap', file])
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
  return { code, output }
}

/** The names of the tests that failed, those within others too. */
const failed = (output: string) => [...output.matchAll(/^ *not ok \d+ - (.*)$/gm)].map(([, name = '']) => name)

t.test('the suites run with node:test, and pass for a resource that keeps its promises (issue 21)', async (t) => {
  const { code, output } = await runNodeTest('isolated')
  t.same(failed(output), [], output)
  t.equal(code, 0)
  for (const name of [
    'nobody reaches the tasks of somebody else, RLS false',
    'nobody reaches the tasks of somebody else, RLS true',
    'a user hears of their own task'
  ]) {
    t.match(output, new RegExp(`^ok \\d+ - ${name}$`, 'm'))
  }
  t.equal(output.match(/^ {4}ok \d+ - DELETE: own, foreign, unknown and malformed ids$/gm)?.length, 2)
})

t.test('a resource without those that it refers to is refused in a sentence (issue 21)', async (t) => {
  t.throws(() => subjectOf(papersResource), { message: /^papers refer to folders, folders: name these resources in/ })
})

t.test('each member has values, whatever its pattern (issue 21)', async (t) => {
  const schema = { type: 'string', pattern: '^https?://[a-z]', maxLength: 2000, examples: ['https://example.com'] }
  const values = telling(schema)
  t.ok(values.length > 5)
  t.ok(values.includes('https://example.com'))
  for (const value of values) t.match(value, /^https?:\/\/[a-z]/)
})

t.test('they fail for a resource that leaks, and name the check (issue 21)', async (t) => {
  const { code, output } = await runNodeTest('leaking')
  t.equal(code, 1)
  const [unfiltered = '', gullible = '', route = ''] = output.split(/^# Subtest: (?:nobody reaches|a route)/m).slice(1)
  for (const [part, verbs] of [
    [unfiltered, ['GET']],
    [gullible, ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE']]
  ] as const) {
    const names = verbs.map((verb) => `${verb}: own, foreign, unknown and malformed ids`)
    t.same(
      failed(part).filter((name) => name.includes('malformed')),
      names
    )
    t.match(part, 'a foreign item is answered exactly as a missing one')
  }
  t.match(unfiltered, 'its WHERE is not bound to an owner')
  t.match(gullible, 'who has no request in flight')
  t.same(failed(route), ['a route of its own sends a statement without an owner'])
  t.match(route, 'its WHERE is not bound to an owner', 'though it answers as it should')
})

/** The messages of what fails in a test of `node:test` that does this, and of its end. */
async function failuresOf(run: (t: Test) => void): Promise<string[]> {
  let end = async () => {}
  const context: NodeContext = {
    test: () => {},
    after(given) {
      end = given
    }
  }
  run(testOf(context))
  const error = await end().then(
    () => undefined,
    (error: Error) => error
  )
  return error === undefined ? [] : error.message.split('\n')
}

t.test('each assertion fails when it does not hold, and all that fail are told (issue 21)', async (t) => {
  const holds = await failuresOf((t) => {
    t.pass()
    t.ok(1)
    t.equal(Number.NaN, Number.NaN)
    t.not(0, -0)
    t.same({ a: [1] }, { a: [1] })
    t.match({ a: 1, b: 'text' }, { b: /^t/ })
  })
  t.same(holds, [])
  const fails = await failuresOf((t) => {
    t.fail()
    t.ok(0, 'zero')
    t.equal([], [])
    t.not('x', 'x')
    t.same({ a: 1 }, { a: '1' }, 'of another type')
    t.match({ a: 1 }, { a: 1, b: 2 })
  })
  t.same(fails, [
    'it fails',
    'zero',
    'it is equal: got [], not []',
    'it is another: got "x"',
    'of another type: got {"a":1}, not {"a":"1"}',
    'it matches: got {"a":1}, not {"a":1,"b":2}'
  ])
})

t.test('what is torn down last was added first, whatever fails (issue 21)', async (t) => {
  const done: number[] = []
  const failures = await failuresOf((t) => {
    t.teardown(() => done.push(1))
    t.teardown(() => Promise.reject(new Error('it does not close')))
    t.teardown(() => done.push(3))
  })
  t.same(done, [3, 1])
  t.same(failures, ['it does not close'])
})

t.test('a pattern matches what has its members, its types and its texts (issue 21)', async (t) => {
  for (const [value, pattern] of [
    [{ a: 1, b: { c: [1, 2] } }, { b: { c: [1] } }],
    [
      ['updated', 'x', 2],
      ['updated', String, 2]
    ],
    [
      [1, true],
      [Number, Boolean]
    ],
    [new TypeError('x'), Error],
    ['text', /^t/],
    [null, null]
  ]) {
    t.equal(matches(value, pattern), true, String(pattern))
  }
  for (const [value, pattern] of [
    [{ a: 1 }, { a: undefined }],
    [{ a: 1 }, { a: '1' }],
    [[1], { 0: 1 }],
    [[], [undefined, 1]],
    [1, String],
    ['x', Error],
    [12, /1/],
    ['text', 'tex'],
    [null, {}],
    [undefined, null]
  ]) {
    t.equal(matches(value, pattern), false, String(pattern))
  }
})

t.test('a suite says what it needs (issue 21)', async (t) => {
  t.throws(() => isolationSuite({} as Test, foldersResource), /the function `test` of node:test, or a test of tap/)
})

t.test('a suite refuses a resource of which the application has another copy (issue 21)', async (t) => {
  const copy = resource(tasks, { name: 'task', members: { title: Type.String({ maxLength: 200 }) } })
  await t.rejects(serve(t, subjectOf(copy)), /serves another copy of the resource tasks: import it from .*routes\.$/)
})
