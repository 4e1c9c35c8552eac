import t from 'tap'
import { MAX_VALUES, parseBody } from '../../../src/http/json-body.ts'
import { Problem } from '../../../src/http/problems.ts'

/** What becomes of a body: its value, or the code of its problem. */
function outcome(body: string | Buffer): unknown {
  try {
    return parseBody(Buffer.from(body))
  } catch (error) {
    return (error as Problem).problem
  }
}

t.test('issue 15: a body with more values than anybody has use for is refused before it is parsed', async (t) => {
  const parse = t.capture(JSON, 'parse', JSON.parse)
  const megabyte = 2 ** 20
  const many = {
    'empty objects': `{"create":[${'{},'.repeat(megabyte / 3)}{}]}`,
    numbers: `[${'1e999,'.repeat(megabyte / 6)}1]`,
    'unknown members': `{${Array.from({ length: MAX_VALUES }, (_, i) => `"a${i}":1`).join()}}`,
    'one member again and again': `{${'"create":[],'.repeat(megabyte / 12)}"create":[]}`,
    'nested arrays': '['.repeat(megabyte / 2) + ']'.repeat(megabyte / 2),
    'arrays that never end': '['.repeat(megabyte),
    'nested objects': `${'{"a":'.repeat(megabyte / 6)}1${'}'.repeat(megabyte / 6)}`,
    'texts with escapes': `[${'"\\"\\\\",'.repeat(megabyte / 8)}1]`,
    'one more than there may be': `[${'1,'.repeat(MAX_VALUES - 1)}1]`
  }
  for (const [what, body] of Object.entries(many)) {
    try {
      parseBody(Buffer.from(body))
      t.fail(what)
    } catch (error) {
      t.type(error, Problem)
      t.match(error, {
        problem: 'validation_failed',
        issues: [{ in: 'body', pointer: '', detail: 'must NOT have more than 10000 values' }]
      })
    }
  }
  t.same(parse(), [], 'nothing of it was parsed')
})

t.test('other bodies are parsed, whatever their texts have in them', async (t) => {
  const most = Array.from({ length: MAX_VALUES - 1 }, () => 1)
  t.same(outcome(JSON.stringify(most)), most)
  for (const value of [
    null,
    1e300,
    '',
    {},
    [],
    [[[{}]]],
    '[{,'.repeat(MAX_VALUES),
    { '"\\,': '\\"[{,'.repeat(9999) }
  ]) {
    t.same(outcome(JSON.stringify(value)), value)
  }
  t.same(outcome('{"title":"a","title":"b"}'), { title: 'b' }, 'of two members with one name the last counts')
  t.ok(Object.hasOwn(outcome('{"__proto__":{"title":"x"}}') as object, '__proto__'), 'a member like any other')
  for (const body of ['', '{', '"', '"\\', '[1,]', '{"a"}', '\ufeff{}', '\\', Buffer.from([0x22, 0xff, 0x22])]) {
    t.equal(outcome(body), 'invalid_json')
  }
})
