import { type TSchema, Type } from '@sinclair/typebox'
import t from 'tap'
import { createQueryCoercion } from '../../../src/http/query-string.ts'

const read = (parameter: TSchema, given: unknown) => {
  const query: Record<string, unknown> = { given, other: '1' }
  createQueryCoercion(Type.Object({ given: parameter, absent: parameter }))(query)
  const { given: parsed, ...rest } = query
  t.same(rest, { other: '1' }, 'the others are as they were')
  return parsed
}

t.test('a number is written in decimal digits, and other text stays text (issue 18)', async (t) => {
  for (const [schema, numbers, texts] of [
    [
      Type.Integer({ minimum: 1 }),
      ['0', '5', '007'],
      ['-1', '1.0', '1e1', '0x1', ' 5', '5 ', '', '+5', 'NaN', '\u0665']
    ],
    [Type.Integer({ minimum: -5 }), ['0', '5', '-5', '-6'], ['--5', '- 5', '1.0', '1e1', '-', '']],
    [Type.Integer(), ['-5', '5'], ['5n', '1_000']],
    [
      Type.Number(),
      ['0', '-1.5', '1e5', '1e-5', '1e+5', '0.30000000000000004'],
      ['.5', '5.', '1e', 'e5', 'Infinity', '0x1', '1E5', '']
    ]
  ] as const) {
    for (const text of numbers) t.equal(read(schema, text), Number(text), `(${text})`)
    for (const text of texts) t.equal(read(schema, text), text, `(${text})`)
  }
  t.equal(read(Type.Number(), '1e400'), Number.POSITIVE_INFINITY, 'which AJV then refuses')
})

t.test('a boolean is true or false, and text is what it is (issue 18)', async (t) => {
  t.equal(read(Type.Boolean(), 'true'), true)
  t.equal(read(Type.Boolean(), 'false'), false)
  for (const text of ['1', 'TRUE', '', 'null']) t.equal(read(Type.Boolean(), text), text)
  t.equal(read(Type.String(), '5'), '5')
})

t.test(
  'a parameter that is an array is repeated, and another one stays an array to be refused (issue 18)',
  async (t) => {
    const integers = Type.Array(Type.Integer())
    t.same(read(integers, '-5'), [-5])
    t.same(read(integers, ['1', 'x', '2']), [1, 'x', 2])
    t.same(read(Type.Array(Type.String()), '5'), ['5'])
    t.same(read(Type.Array(Type.String()), ['5', '']), ['5', ''])
    t.same(read(Type.Integer(), ['1', '2']), ['1', '2'])
    t.equal(read(integers, undefined), undefined)
  }
)
