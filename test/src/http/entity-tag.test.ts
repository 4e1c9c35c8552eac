import fc from 'fast-check'
import t from 'tap'
import { isUnchanged, loadTags, parseTags } from '../../../src/http/entity-tag.ts'
import { Problem } from '../../../src/http/problems.ts'
import { versionCondition } from '../../../src/resource/preconditions.ts'

t.test('a field of entity tags is read as RFC 9110 section 8.8.3 has it', async (t) => {
  for (const [field, tags] of [
    ['"1"', ['"1"']],
    ['W/"1"', ['"1"']],
    ['"1", W/"2","3"', ['"1"', '"2"', '"3"']],
    ['  "a,b" ,\t"c"  ', ['"a,b"', '"c"']],
    ['""', ['""']],
    ['"\\"', ['"\\"']],
    ['"\xe4"', ['"\xe4"']],
    ['', []],
    [', ,', []],
    [',"1",,', ['"1"']],
    ['"*"', ['"*"']]
  ] as const) {
    t.same(parseTags(field), tags, field)
  }
  for (const field of ['*', ' * ']) t.equal(parseTags(field), '*')
  for (const field of [
    '1',
    '"1',
    '1"',
    '"1""2"',
    '"1" "2"',
    'w/"1"',
    'W/',
    'W/1',
    '*, "1"',
    '"1", *',
    '"1", 2',
    '"a b"',
    '"a"b"',
    "'1'",
    '"\x7f"'
  ]) {
    t.equal(parseTags(field), undefined, field)
  }
  const tag = fc.stringMatching(/^(W\/)?"[!#-,.-~\x80-\xff]{0,5}"$/)
  fc.assert(
    fc.property(fc.array(tag), fc.constantFrom(',', ', ', ' ,\t'), (all, comma) => {
      t.same(
        parseTags(all.join(comma)),
        all.map((one) => one.replace('W/', ''))
      )
    })
  )
})

t.test('a tag is what it was before a proxy compressed the answer (issue 16)', async (t) => {
  const changed = ['W/"1"', '"1-gzip"', 'W/"1-gzip"', '"1--gzip"', '"1-br"', '"1-zstd"', '"1-deflate"']
  for (const field of changed) {
    t.same(parseTags(field), ['"1"'], field)
    t.ok(isUnchanged({ 'if-none-match': `"7", ${field}` }, '"1"'), field)
    t.same(versionCondition({ 'if-match': field }), { ifMatch: [1], ifNoneMatch: null }, field)
    t.same(versionCondition({ 'if-none-match': field }), { ifMatch: null, ifNoneMatch: [1] }, field)
  }
  for (const field of ['"1-"', '"1gzip"', '"1---gzip"', '"1-gzip-1"', '"1-gzip-br"', '"1-GZIP"', '"1-x"']) {
    t.notOk(isUnchanged({ 'if-none-match': field }, '"1"'), field)
    t.same(versionCondition({ 'if-match': field }), { ifMatch: [], ifNoneMatch: null }, field)
  }
})

t.test('If-None-Match is compared weakly (RFC 9110 section 13.1.2)', async (t) => {
  for (const field of ['"1"', 'W/"1"', '"2", "1"', '"2",W/"1"', '*']) {
    t.ok(isUnchanged({ 'if-none-match': field }, '"1"'), field)
  }
  for (const field of [undefined, '', '"2"', 'W/"2"', '"01"', '1', '"1" "1"', '"1', '"*"']) {
    t.notOk(isUnchanged({ 'if-none-match': field }, '"1"'), String(field))
  }
})

t.test('If-Match and If-None-Match name versions, and both count (RFC 9110 section 13.2.2)', async (t) => {
  const condition = (match?: string, noneMatch?: string) =>
    versionCondition({
      ...(match !== undefined && { 'if-match': match }),
      ...(noneMatch !== undefined && { 'if-none-match': noneMatch })
    })
  t.same(condition(), { ifMatch: null, ifNoneMatch: null })
  t.same(condition('*'), { ifMatch: null, ifNoneMatch: null })
  t.same(condition('"3"'), { ifMatch: [3], ifNoneMatch: null })
  t.same(condition('W/"3"'), { ifMatch: [3], ifNoneMatch: null })
  t.same(condition('"3", "2147483647", "4"'), { ifMatch: [3, 2_147_483_647, 4], ifNoneMatch: null })
  for (const nobodys of ['', '"x"', '"0"', '"03"', '"-3"', '"3.0"', '"2147483648"', '"99999999999"', '"*"']) {
    t.same(condition(nobodys), { ifMatch: [], ifNoneMatch: null }, nobodys)
  }
  t.same(condition(undefined, '*'), { ifMatch: [], ifNoneMatch: null })
  t.same(condition('"3"', '*'), { ifMatch: [], ifNoneMatch: null })
  t.same(condition(undefined, '"3", W/"4", "x"'), { ifMatch: null, ifNoneMatch: [3, 4] })
  t.same(condition(undefined, '"x"'), { ifMatch: null, ifNoneMatch: null })
  t.same(condition('"3"', '"4"'), { ifMatch: [3], ifNoneMatch: [4] })
  for (const malformed of [['3'], [undefined, '3'], ['"3"', 'W/3']] as const) {
    t.throws(() => condition(...malformed), new Problem('bad_request'))
  }
})

t.test('equal bodies have equal strong tags, others have others', async (t) => {
  const tagOf = await loadTags()
  t.match(tagOf(Buffer.from('[]')), /^"[\da-z]{10,13}"$/)
  t.equal(tagOf(Buffer.from('[]')), tagOf(Buffer.from('[]')))
  t.not(tagOf(Buffer.from('[]')), tagOf(Buffer.from('[ ]')))
})
