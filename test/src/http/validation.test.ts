import { type TSchema, Type } from '@sinclair/typebox'
import type { FastifySchemaValidationError } from 'fastify'
import t from 'tap'
import { isDateTime } from '../../../src/http/formats.ts'
import { validatorCompiler } from '../../../src/http/validation.ts'
import { schemaErrorFormatter } from '../../../src/http/validation-errors.ts'
import { NewTask, TaskBatch, TaskQuery } from '../../support/tasks.ts'

type Validate = ((value: unknown) => boolean) & { errors: FastifySchemaValidationError[] | null }
const compile = (schema: TSchema, httpPart: string) =>
  validatorCompiler({ schema, httpPart, method: 'POST', url: '/' }) as Validate

const inBody = compile(TaskBatch, 'body')
const times = <T>(count: number, value: T) => Array.from({ length: count }, () => value)
const members = (count: number) => Object.fromEntries(times(count, 1).map((_, i) => [`a${i}`, 1]))
const nested = (depth: number) => JSON.parse('['.repeat(depth) + ']'.repeat(depth))

t.test('issue 15: of a large body the first fault alone is looked for, whatever is wrong with it', async (t) => {
  for (const [what, body, pointer, message] of [
    ['operations', { create: times(349_000, {}) }, '/create', 'must NOT have more than 100 items'],
    ['what is no operation', { update: times(349_000, 0) }, '/update', 'must NOT have more than 100 items'],
    ['members', members(10_000), '', 'must NOT have additional properties'],
    ['members of an operation', { create: [{ title: 'x', ...members(10_000) }] }, '/create/0', undefined],
    ['members of each', { create: times(100, { title: 'x', ...members(100) }) }, '/create/0', undefined],
    ['an item that is large', { create: [{ title: times(10_000, 1) }] }, '/create/0/title', 'must be string']
  ] as const) {
    t.notOk(inBody(body), what)
    t.match(inBody.errors, [{ instancePath: pointer, message: message ?? String }], what)
    t.equal(inBody.errors?.length, 1, what)
  }
  const deep = { create: [{ title: nested(100_000) }] }
  t.notOk(inBody(deep))
  t.match(inBody.errors, [{ instancePath: '/create/0/title', message: 'must be string' }])
})

t.test('of any other all faults are found, and up to 20 are told', async (t) => {
  const faulty = { create: [{ title: '', completed: 1, x: 2 }], update: [{ id: 'x', change: {} }], y: 3 }
  t.notOk(inBody(faulty))
  const told = schemaErrorFormatter('not_found')(inBody.errors ?? [], 'body')
  t.same(told.issues?.map(({ pointer }) => pointer).sort(), [
    '/create/0/completed',
    '/create/0/title',
    '/create/0/x',
    '/update/0/change',
    '/update/0/id',
    '/y'
  ])
  // As many values as there are in the largest batch, each operation with a fault.
  const large = { update: times(100, { id: 'x', version: 0, change: { title: '', description: 1, dueAt: 2 } }) }
  t.notOk(inBody(large))
  t.equal(inBody.errors?.length, 500)
  t.equal(schemaErrorFormatter('not_found')(inBody.errors ?? [], 'body').issues?.length, 20)
  t.notOk(inBody({ create: times(101, { title: 'x' }) }))
  t.match(inBody.errors, [{ instancePath: '/create' }])

  t.ok(inBody({ create: [{ title: 'x' }] }))
  t.equal(inBody.errors, null)
})

t.test('issue 18: an overlong text or document costs no more than its bound', async (t) => {
  // The time grows with the square of the text: 5 s for 120,000 characters.
  const slow = '^[a-z]+[a-z0-9]*$'
  const code = Type.String({ maxLength: 40, pattern: slow })
  const document = Type.Union(
    [Type.Array(Type.Object({ a: Type.Integer() }), { uniqueItems: true }), Type.String({ pattern: slow })],
    { maxBytes: 1000, maxDepth: 3 }
  )
  const overlong = (length: number) => `${'a'.repeat(length)}!`
  const cases: [TSchema, unknown, string][] = [
    [code, overlong(120_000), 'must NOT have more than 40 characters'],
    [code, overlong(10_000), 'must NOT have more than 40 characters'],
    [code, overlong(39), `must match pattern "${slow}"`],
    [document, overlong(120_000), 'must NOT have more than 1000 bytes of JSON'],
    [document, Array.from({ length: 4900 }, (_, a) => ({ a })), 'must NOT have more than 1000 bytes of JSON'],
    [
      Type.String({ maxLength: 40, format: 'url' }),
      `http://${':a'.repeat(60_000)}`,
      'must NOT have more than 40 characters'
    ]
  ]
  for (const [it, value, message] of cases) {
    const validate = compile(Type.Object({ it, other: Type.Optional(Type.Integer()) }), 'body')
    const before = process.cpuUsage()
    t.notOk(validate({ it: value }))
    const { user } = process.cpuUsage(before)
    t.match(validate.errors, [{ message }])
    t.ok(user < 250_000, `${user} µs for ${JSON.stringify(it)}`)
  }
  // Other issues are told beside it.
  const short = compile(Type.Object({ it: code, other: Type.Integer() }), 'body')
  t.notOk(short({ it: overlong(100), other: 'x' }))
  t.match(short.errors, [{ instancePath: '/it', keyword: 'maxLength' }, { instancePath: '/other' }])
})

t.test('no member of an object is taken for one that its prototype has', async (t) => {
  const inTask = compile(NewTask, 'body')
  for (const text of ['{"__proto__":{"title":"x"}}', '{"title":"x","__proto__":{}}', '{"title":"x","constructor":1}']) {
    t.notOk(inTask(JSON.parse(text)), text)
  }
})

t.test('a query has no more faults than the route has parameters', async (t) => {
  const inQuery = compile(TaskQuery, 'querystring')
  const query = { limit: times(5000, '1'), q: times(5000, ''), cursor: '!'.repeat(16_000), ...members(5000) }
  t.notOk(inQuery(query))
  t.match(inQuery.errors, [{ instancePath: String }])
  t.ok((inQuery.errors?.length ?? 99) <= 2 * Object.keys(TaskQuery.properties).length)
  t.ok(inQuery({ limit: '5', unknown: times(5000, '1') }), 'what is unknown is ignored')
})

t.test('a date-time is within the bounds of each of its parts', async (t) => {
  const good = '2030-01-31T23:59:59.999999+23:59'
  t.ok(isDateTime(good))
  for (const [part, beyond] of [
    ['01-31', '13-01'],
    ['01-31', '00-31'],
    ['01-31', '01-32'],
    ['01-31', '02-29'],
    ['01-31', '04-31'],
    ['T23', 'T24'],
    [':59:59', ':60:59'],
    [':59:59', ':59:60'],
    ['.999999', '.9999999'],
    ['.999999', '.'],
    ['+23:59', '+24:00'],
    ['+23:59', '+01:60'],
    ['+23:59', '+01:75'],
    ['+23:59', '+1:00'],
    ['+23:59', '']
  ] as const) {
    t.notOk(isDateTime(good.replace(part, beyond)), good.replace(part, beyond))
  }
})
