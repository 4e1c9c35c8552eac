import t, { type Test } from 'tap'
import { writeCursor } from '../../../src/resource/cursor.ts'
import { asUser, newUser } from '../../support/app.ts'
import { client } from '../../support/http.ts'
import sampleResource from '../../support/samples.ts'
import { serveSamples } from '../../support/serve-samples.ts'

const UUID = '019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708'
const { declaration } = sampleResource

type Item = Record<string, unknown> & { id: string; label: string }

const app = await serveSamples(t)

/** A client of a new user who has these items, in this order. */
async function having(t: Test, items: object[]) {
  const ask = client(app, asUser(newUser()), '/api/samples')
  const created: Item[] = []
  for (const item of items) {
    const answer = await ask('POST', '', item)
    t.equal(answer.statusCode, 201, answer.body)
    created.push(answer.json())
  }
  /** The labels of a whole list, read by pages. */
  const labels = async (query: string, limit = 100) => {
    const found: string[] = []
    let next: string | undefined = `?limit=${limit}&${query}`
    while (next !== undefined) {
      const page = await ask('GET', next)
      if (page.statusCode !== 200) t.fail(`${query}: ${page.body}`)
      found.push(...page.json().map(({ label }: Item) => label))
      if (found.length > items.length) throw new Error(`Paging goes round in circles: ${query}`)
      next = /(\?[^>]+)>; rel="next"/.exec(String(page.headers.link))?.[1]
    }
    return found
  }
  return { ask, created, labels }
}

t.test('a filter takes what its member can be, and else is a 400 with its pointer (issue 18)', async (t) => {
  const { ask } = await having(t, [])
  for (const [query, at] of [
    ['limit=-1'],
    ['limit=0'],
    ['limit=101'],
    ['limit=1.5'],
    ['sort=tags'],
    ['sort=id'],
    ['count=all'],
    ['label='],
    [`label=${'x'.repeat(41)}`],
    ['label=%00'],
    ['label=a&label=b'],
    ['q='],
    [`q=${'x'.repeat(201)}`],
    ['q=a%00'],
    ['q=a&q=b'],
    ['flag=1'],
    ['flag=TRUE'],
    ['flag='],
    ['flag=true&flag=true'],
    ['counted=-1001'],
    ['counted=1e1'],
    ['counted=0x1'],
    ['counted=%205'],
    ['counted=1.0'],
    ['counted='],
    ['counted=--1'],
    ['countFrom=2147483648'],
    ['countTo=-2147483649'],
    ['countFrom=null'],
    ['anyCount=a', '/anyCount/0'],
    ['anyCount=1&anyCount=2147483648', '/anyCount/1'],
    [Array.from({ length: 21 }, () => 'anyCount=1').join('&')],
    ['ratioFrom=1e400'],
    ['ratioFrom=NaN'],
    ['ratioFrom=.5'],
    ['ratioFrom=1e1e1'],
    ['price=1.5'],
    ['price=1'],
    ['price=-0.00'],
    ['priceTo=NaN'],
    ['amountFrom=infinity'],
    [`amountFrom=${'9'.repeat(1001)}`],
    ['bigTo=9007199254740992'],
    ['day=2025-02-29', '/day/0'],
    ['dayBefore=today'],
    ['dayBefore=0000-01-01'],
    ['atAfter=2030-01-31'],
    ['createdAfter=now'],
    ['ref=x', '/ref/0'],
    ['status=closed', '/status/0'],
    ['level=mid'],
    ['noLevel=1'],
    ['noSettings=null'],
    [`tag=${'x'.repeat(21)}`],
    ['tag=a&tag=b'],
    ['number=one'],
    ['number=1e999'],
    ['codes=a', '/codes/0']
  ] as [string, string?][]) {
    const pointer = at ?? `/${query.split('=')[0]}`
    const answer = await ask('GET', `?${query}`)
    const { code, errors } = answer.json()
    t.match([answer.statusCode, code], [400, 'validation_failed'], query)
    t.same(
      [...new Set(errors?.map((one: { in: string; pointer: string }) => `${one.in} ${one.pointer}`))],
      [`query ${pointer}`],
      query
    )
  }
  t.match((await ask('GET', '?limit=-1')).json().errors, [{ detail: 'must be integer' }])
})

t.test('each filter finds what it says, and nothing with null (issue 18)', async (t) => {
  const { labels, created } = await having(t, [
    {
      label: 'a, b',
      note: 'Cr\u00e8me 100%_',
      code: 'A-1',
      flag: true,
      count: -5,
      big: -(2 ** 53) + 1,
      ratio: -0.5,
      price: '-1.50',
      amount: '-0.10',
      day: '2030-01-31',
      at: '2030-01-31T09:00:00Z',
      ref: UUID,
      status: 'open',
      level: 'low',
      tags: ['a,b', '{"x"}', 'NULL'],
      numbers: [0.1 + 0.2, -1e21],
      settings: {}
    },
    {
      label: 'B',
      note: '',
      code: '',
      flag: false,
      count: 5,
      big: 2 ** 53 - 1,
      ratio: 1e308,
      price: '1.50',
      amount: '10',
      day: '0001-01-01',
      at: '2030-01-31T09:00:00.000001Z',
      ref: 'ffffffff-ffff-ffff-ffff-ffffffffffff',
      status: 'on hold',
      level: 'high',
      tags: ['', ' ', '\\', '"'],
      numbers: [5e-324],
      settings: 0
    },
    { label: 'none' }
  ])
  const [A, B, none] = ['a, b', 'B', 'none']
  const at = (moment: string) => encodeURIComponent(moment)
  for (const [query = '', ...found] of [
    ['', A, B, none],
    ['unknown=1', A, B, none],
    ['label=a,%20b', A],
    ['label=b'],
    ['q=B', A, B],
    ['q=CR%C3%88ME', A],
    [`q=${encodeURIComponent('cre\u0300me')}`, A],
    ['q=%25_', A],
    ['q=100%25', A],
    ['flag=true', A],
    ['flag=false', B],
    ['counted=-5', A],
    ['counted=0', none],
    ['countFrom=0', B, none],
    ['countFrom=-5', A, B, none],
    ['countTo=-0', A, none],
    ['countTo=-6'],
    ['anyCount=-5&anyCount=5', A, B],
    ['anyCount=5', B],
    ['ratioFrom=-0.5', A, B],
    ['ratioFrom=-4e-1', B],
    ['price=1.50', B],
    ['priceTo=1.49', A],
    ['priceTo=0.00', A],
    ['amountFrom=-0.1', A, B],
    ['amountFrom=9.9', B],
    ['bigTo=9007199254740990', A],
    ['bigTo=-9007199254740991', A],
    ['day=0001-01-01&day=2030-01-31', A, B],
    ['dayBefore=2030-01-31', B],
    ['dayBefore=2030-02-01', A, B],
    [`atAfter=${at('2030-01-31T10:00:00+01:00')}`, B],
    [`atAfter=${at('2030-01-31T08:59:59Z')}`, A, B],
    [`createdAfter=${at(String(created[1]?.createdAt))}`, none],
    [`ref=${UUID.toUpperCase()}`, A],
    ['ref=00000000-0000-0000-0000-000000000000'],
    ['status=on%20hold&status=new', B, none],
    ['level=high', B],
    ['noLevel=true', none],
    ['noLevel=false', A, B],
    ['noSettings=true', none],
    ['noSettings=false', A, B],
    ['tag=a,b', A],
    ['tag=a'],
    ['tag=NULL', A],
    [`tag=${encodeURIComponent('{"x"}')}`, A],
    ['tag=', B],
    ['tag=%20', B],
    ['tag=%5C', B],
    ['tag=%22', B],
    ['number=0.30000000000000004', A],
    ['number=-1e%2B21', A],
    ['number=5e-324', B],
    ['codes=', B],
    ['codes=A-1&codes=', A, B],
    ['flag=true&counted=5'],
    ['flag=false&counted=5&q=b&tag=%22', B]
  ] as string[][]) {
    t.same(await labels(`sort=createdAt&${query}`), found, `(${query})`)
    t.same(await labels(`sort=createdAt&${query}`, 1), found, `(${query}) by pages of one`)
  }
})

const LONG = 'y'.repeat(300)

/** The order of each sort: labels of items, null last both ways. Equal ones are in the order of their creation. */
const ITEMS: Record<string, unknown>[] = [
  { label: 'none' },
  {
    label: 'B',
    note: '',
    code: '',
    flag: false,
    small: -1,
    big: -1,
    ratio: -1e300,
    price: '-2.00',
    amount: '-0.5',
    day: '0001-01-01',
    at: '0001-01-01T00:00:00Z',
    ref: '00000000-0000-0000-0000-000000000000',
    token: '00000000-0000-0000-0000-000000000000',
    level: 'high',
    status: 'on hold',
    count: 9
  },
  {
    label: 'a',
    note: 'b',
    code: 'B',
    flag: true,
    small: 10,
    big: 10,
    ratio: 10,
    price: '10.00',
    amount: '10.0',
    day: '2030-01-02',
    at: '2030-01-02T00:00:00Z',
    ref: 'a0000000-0000-0000-0000-000000000000',
    token: 'a0000000-0000-0000-0000-000000000000',
    level: 'low',
    status: 'open',
    count: -9
  },
  {
    label: '_',
    note: 'A',
    code: 'A',
    flag: true,
    small: 9,
    big: 9,
    ratio: 9,
    price: '9.00',
    amount: '9',
    day: '2030-01-01',
    at: '2030-01-01T00:00:00Z',
    ref: '90000000-0000-0000-0000-000000000000',
    token: '90000000-0000-0000-0000-000000000000',
    level: 'low',
    status: 'new',
    count: 0
  },
  { label: 'none too', count: 100, token: 'ffffffff-ffff-ffff-ffff-ffffffffffff', status: 'on hold' }
]
// By UTF-16 units JavaScript compares ASCII as the "C" collation does.
const ORDERS: Record<string, string[]> = {
  createdAt: ['none', 'B', 'a', '_', 'none too'],
  updatedAt: ['none', 'B', 'a', '_', 'none too'],
  label: ['_', 'a', 'B', 'none', 'none too'],
  note: ['B', '_', 'a'],
  code: ['B', '_', 'a'],
  flag: ['B', 'a', '_'],
  small: ['B', '_', 'a'],
  big: ['B', '_', 'a'],
  ratio: ['B', '_', 'a'],
  price: ['B', '_', 'a'],
  amount: ['B', '_', 'a'],
  day: ['B', '_', 'a'],
  at: ['B', '_', 'a'],
  ref: ['B', '_', 'a'],
  level: ['B', 'a', '_'],
  count: ['a', 'none', '_', 'B', 'none too'],
  status: ['none', '_', 'a', 'B', 'none too']
}
const NULLS = ['none', 'none too']

t.test('a list is sorted by values, and null comes last both ways (issue 18)', async (t) => {
  const { labels } = await having(t, ITEMS)
  const names = declaration.sorts.filter(({ descending }) => !descending).map(({ name }) => name)
  t.same(Object.keys(ORDERS).concat('token').sort(), [...names].sort())
  for (const [name, order] of Object.entries(ORDERS)) {
    const nulls = NULLS.filter((label) => !order.includes(label))
    const expected = [...order, ...nulls]
    // Ties are broken by the id, the other way round too.
    const backwards = [...order.toReversed(), ...nulls.toReversed()]
    for (const limit of [100, 1, 2]) {
      t.same(await labels(`sort=${name}`, limit), expected, `${name} by ${limit}`)
      t.same(await labels(`sort=-${name}`, limit), backwards, `-${name} by ${limit}`)
    }
  }
  // One item has a token that nobody knows.
  const tokens = (await labels('sort=token')).filter((label) => label !== 'none')
  t.same(tokens, ['B', '_', 'a', 'none too'])
})

t.test('a long text is sorted by its first 200 characters, and its cursor fits the schema (issue 18)', async (t) => {
  const { labels, ask } = await having(t, [
    { label: '3', note: '\u{1f600}'.repeat(1000) },
    { label: '2', note: `${LONG}b` },
    { label: '1', note: `${LONG}a` },
    { label: '4', note: `${'z'.repeat(199)}\u{1f600}\u{1f600}` }
  ])
  t.same(await labels('sort=note', 1), ['2', '1', '4', '3'], 'what is equal so far is in the order of creation')
  t.same(await labels('sort=-note', 1), ['3', '4', '1', '2'])
  const { pattern, maxLength } = declaration.schemas.query.properties.cursor
  const cursors = ['sort=note', 'sort=-note'].map(async (query) => {
    const link = String((await ask('GET', `?limit=1&${query}`)).headers.link)
    return /cursor=([^>]+)>/.exec(link)?.[1] ?? ''
  })
  for (const cursor of await Promise.all(cursors)) {
    t.match(cursor, new RegExp(pattern))
    t.ok(cursor.length <= maxLength, `${cursor.length} of ${maxLength}`)
  }
})

t.test('the longest value of each order has a cursor that the schema takes (issue 18)', async (t) => {
  const longest: Record<string, unknown> = {
    label: '\u{1f600}'.repeat(40),
    note: '\u{1f600}'.repeat(1000),
    code: 'X'.repeat(10),
    flag: false,
    count: -1000,
    small: -32768,
    big: -(2 ** 53) + 1,
    ratio: -2.2250738585072014e-308,
    price: '-9999999999.99',
    amount: `-0.${'9'.repeat(37)}`,
    day: '2030-01-31',
    at: '2030-01-31T09:00:00.123456Z',
    ref: UUID,
    token: UUID,
    status: 'on hold',
    level: 'high'
  }
  const { labels } = await having(t, [longest, { ...longest, token: UUID }])
  for (const { name } of declaration.sorts) t.equal((await labels(`sort=${name}`, 1)).length, 2, name)
})

t.test('a cursor that somebody made up is refused, or finds what is their own (issue 18)', async (t) => {
  const { ask } = await having(t, [{ label: 'a' }])
  const KEYS = [
    null,
    '',
    'a',
    'A\u0000',
    "'; drop table samples --",
    'NaN',
    'Infinity',
    '-Infinity',
    'infinity',
    '-infinity',
    'now',
    'today',
    'epoch',
    'true',
    't',
    '1',
    '1.5',
    '1e5',
    '1e-400',
    '1e400',
    '0x10',
    ' 1',
    '-0',
    '32768',
    '2147483648',
    '9007199254740992',
    '9'.repeat(190),
    `0.${'9'.repeat(190)}`,
    '0001-01-01',
    '0000-01-01',
    '4714-11-24 BC',
    '2030-01-31T09:00:00Z',
    '0000-01-01T00:00:00Z',
    '2030-01-31T09:00:00.1234567Z',
    UUID,
    `{${UUID}}`,
    'new',
    'closed',
    'low',
    '{}',
    '\u{1f600}'.repeat(190)
  ]
  const filters = declaration.filters.map(() => undefined)
  const accepted = new Map<string, unknown[]>()
  for (const sort of declaration.sorts) {
    for (const key of KEYS) {
      for (const id of [UUID, '00000000-0000-0000-0000-000000000000']) {
        const cursor = writeCursor({ sort, filters }, { id, key })
        const answer = await ask('GET', `?sort=${sort.name}&cursor=${cursor}`)
        if (answer.statusCode === 200) accepted.set(sort.name, [...(accepted.get(sort.name) ?? []), key])
        else
          t.match(
            [answer.statusCode, answer.json()],
            [400, { errors: [{ pointer: '/cursor' }] }],
            `${sort.name} ${encodeURI(String(key))}`
          )
      }
    }
  }
  const takes = (name: string) => [...new Set(accepted.get(name) ?? [])]
  t.same(takes('createdAt'), [null])
  t.same(takes('flag'), [null, 'true'])
  t.same(takes('count'), ['1', '32768'])
  t.same(takes('small'), [null, '1'])
  t.same(takes('big'), [null, '1', '32768', '2147483648'])
  t.same(takes('ratio'), [null, '1', '1.5', '32768', '2147483648', '9007199254740992'])
  t.same(takes('day'), [null, '0001-01-01'])
  t.same(takes('-at'), [null, '2030-01-31T09:00:00Z'])
  t.same(takes('updatedAt'), ['2030-01-31T09:00:00Z'])
  t.same(takes('token'), [UUID])
  t.same(takes('status'), ['new'])
})

// The next file of this process needs the database.
t.test('the application ends', () => app.close())
