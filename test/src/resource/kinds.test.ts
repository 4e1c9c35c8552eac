import t, { type Test } from 'tap'
import { asUser, newUser } from '../../support/app.ts'
import { watch } from '../../support/events.ts'
import { client, type Method } from '../../support/http.ts'
import sampleResource from '../../support/samples.ts'
import { serveSamples } from '../../support/serve-samples.ts'

// Values are texts of JSON here, since some have no other form.
const json = (value: unknown) => JSON.stringify(value)
const listed = (...values: unknown[]) => values.map(json)

const x = (count: number) => 'x'.repeat(count)
const DIGITS = '9'.repeat(40)
const UUID = '019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708'

/** Values of each member that are answered as they were sent. */
const VALID: Record<string, string[]> = {
  label: listed('a', x(40), '\u{1f600}'.repeat(40), ' ', 'NULL'),
  note: listed('', x(1000), '\u{1f600}'.repeat(1000), `"'\\{}[],:%_$1`, '\u0001\t\r\n\u2028', 'e\u0301', null),
  code: listed('', 'A-9', 'X'.repeat(10), null),
  flag: listed(true, false, null),
  count: listed(-1000, 0, 2 ** 31 - 1),
  small: listed(-(2 ** 15), 2 ** 15 - 1, null),
  big: listed(-(2 ** 53) + 1, 2 ** 53 - 1, 0, null),
  ratio: listed(5e-324, 1.7976931348623157e308, -1.7976931348623157e308, 0.1 + 0.2, 1e21, 1e-7, 3, null),
  price: listed('0.00', '-0.01', '1.50', '9999999999.99', '-9999999999.99', null),
  amount: listed('0', '1.5', '1.50', '-0.5', DIGITS, `0.${'0'.repeat(37)}1`, null),
  day: listed('0001-01-01', '9999-12-31', '2024-02-29', null),
  at: listed('0001-01-01T00:00:00+00:00', '9999-12-31T23:59:59.999999+00:00', '2030-01-31T09:00:00.5+00:00', null),
  seenAt: listed('2030-01-31T09:00:00+00:00'),
  ref: listed(UUID, '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', null),
  token: listed(UUID),
  status: listed('new', 'open', 'on hold'),
  level: listed('low', 'high', null),
  tags: listed(
    [],
    ['a,b', '"', '\\', '{', '}'],
    [' ', '', 'NULL', 'null', '{a,"b"}'],
    ['\u{1f600}'.repeat(20), "'", '\n']
  ),
  record: listed('x', '', null),
  numbers: listed([], [5e-324, 1.7976931348623157e308, 0.1 + 0.2, -1e21, 1], null),
  counts: listed([], [0, 2 ** 31 - 1, 1], null),
  settings: [
    ...listed({}, [], '', 0, false, null, 'a "text" with \\ and \n', x(498), { a: { b: [] } }, [
      [[]],
      1,
      null,
      0.1 + 0.2
    ]),
    // What looks like an item, of which pages are cut.
    ...listed({ id: 'x' }, [{ id: 'a' }, { id: 'b' }], ',\n{"id":"', { a: '},\n{"id":"' }, { a: null, id: null }),
    '{"a":"\\u0000"}',
    '{"a":"\\ud800"}',
    '{"__proto__":{"a":1},"constructor":{}}'
  ]
}

/** Values that are answered in another form, which means the same. */
const FORMS: [member: string, sent: string, answered: string][] = [
  ['ratio', '-0', '0'],
  ['ratio', '1E2', '100'],
  ['count', '1.0', '1'],
  ['numbers', '[-0]', '[0]'],
  ['ref', json(UUID.toUpperCase()), json(UUID)],
  ['at', json('2030-01-01T00:30:00.120000+05:30'), json('2029-12-31T19:00:00.12+00:00')],
  ['at', json('2030-01-01t00:00:00z'), json('2030-01-01T00:00:00+00:00')],
  ['settings', ' {"a"\n:\n1.0, "b":\r[ ] }', '{"a":1,"b":[]}'],
  ['settings', '{"a":1,"a":2}', '{"a":2}']
]

/** Values that are refused, and the pointer below the member that is at fault. */
const INVALID: Record<string, (string | [string, pointer: string])[]> = {
  label: [...listed('', x(41), '\u0000', 1, null, ['a']), '"\\ud800"', '"\\udc00\\ud800"'],
  note: [...listed(x(1001), 'a\u0000', {}, true), '"\\ud83d"'],
  code: listed('a', 'X'.repeat(11), 'A\u0000', 1),
  flag: listed('true', 0, 1, ''),
  count: [...listed(-1001, 2 ** 31, 1.5, '1', null, true), '1e400', '-1e400'],
  small: listed(-(2 ** 15) - 1, 2 ** 15, 0.5, '1'),
  big: [...listed(2 ** 53, -(2 ** 53), 1e300, '1', 0.5), '9007199254740993', '1e400'],
  ratio: ['1e400', '-1e400', '1.7976931348623159e308', ...listed('1', 'NaN', true, [1])],
  price: listed('1.5', '1', '-0.00', '10000000000.00', '1e2', '01.00', ' 1.00', '+1.00', '.50', 'NaN', 1.5, ''),
  amount: listed(`${DIGITS}9`, '-0', '-0.0', '1.', '', 'Infinity', '1e5', '0x1', 1),
  day: listed('0000-12-31', '2025-02-29', '2025-1-1', '10000-01-01', '2025-02-28T00:00:00Z', 'infinity', 'today', ''),
  at: listed(
    '0000-12-31T23:59:59Z',
    '0001-01-01T00:00:00+01:00',
    '9999-12-31T23:59:59-01:00',
    '2030-01-31T09:00:00',
    '2030-01-31 09:00:00Z',
    '2030-01-31T09:00:60Z',
    '2030-01-31T09:00:00.1234567Z',
    'infinity',
    'now',
    1
  ),
  seenAt: listed(null, ''),
  ref: listed('', 'x', UUID.replaceAll('-', ''), `{${UUID}}`),
  token: listed(null, ''),
  status: listed('closed', '', null, 'NEW', 1),
  level: listed('mid', '', 1),
  tags: [
    ...listed(null, 'a', {}, ['a', 'b', 'c', 'd', 'e', 'f']),
    [json([x(21)]), '/0'],
    [json(['a', '\u0000']), '/1'],
    ['["\\ud800"]', '/0'],
    [json([null]), '/0'],
    [json([['a']]), '/0']
  ],
  numbers: [...listed([1, 2, 3, 4, 5, 6], 1), ['[1e400]', '/0'], [json([1, '2']), '/1'], [json([null]), '/0']],
  counts: [...listed([1, 1], [1, 2, 3, 4]), [json([-1]), '/0'], [json([1, 1.5]), '/1'], [json([2 ** 31]), '/0']],
  settings: [
    ...listed(x(499), { a: { b: { c: {} } } }, [[[[]]]]),
    json('\u0001'.repeat(84)),
    '{"a":1e400}',
    '[[-1e400]]',
    `${'['.repeat(9000)}${']'.repeat(9000)}`,
    `${'{"a":'.repeat(9000)}1${'}'.repeat(9000)}`
  ]
}

/** Routes of a team's own beside the resource: the server may set what clients may not. */
const app = await serveSamples(t, (api) => {
  const store = api.store(sampleResource.declaration)
  api.put('/scores/:id', async ({ user, params, deadline }) => {
    const { id } = params as { id: string }
    return store.update(user.sub, id, { score: 5, origin: 'import' }, undefined, deadline)
  })
  api.post('/scores', async ({ user, deadline }) => store.create(user.sub, { label: 'a', score: 7 }, deadline))
})
const user = newUser()
const ask = client(app, asUser(user), '/api/samples')

/** The start of a text without what has a meaning in TAP. */
const inWords = (text: string) => `(${text.slice(0, 90).replaceAll(/[^ -"$-z]/g, '?')})`

/** Asks with a body of JSON, and returns what is answered, which must be a success. */
async function done(t: Test, method: Method, path: string, body?: string) {
  const answer = await ask(method, path, body)
  if (answer.statusCode > 201) t.fail(inWords(`${method} ${path} ${body}`), { answer: answer.body })
  return answer.json()
}

t.test('a value is answered as it was accepted, wherever it comes from (issue 18)', async (t) => {
  t.same(
    Object.keys(VALID).sort(),
    Object.keys(sampleResource.declaration.schemas.create.properties)
      .filter((name) => name !== 'origin' && name !== 'id')
      .sort()
  )
  const events = await watch(t, app, user, { url: '/api/samples/events' })
  t.match(await events.next(), { event: 'reload' })
  const { id } = await done(t, 'POST', '', '{"label":"updated"}')
  t.match(await events.next(), { event: 'created' })
  /** An item as the event of its creation has it. Updates of one item may come as one event. */
  const created = async (id: string) => {
    for (;;) {
      const event = JSON.parse((await events.next())?.data ?? '')
      if (event.id === id) return event.sample
    }
  }
  const known = new Map<string, { member: string; answered: string }>()
  const same = Object.entries(VALID).flatMap(([member, values]) =>
    values.map((value) => [member, value, value] as const)
  )
  for (const [member, sent, answered] of [...same, ...FORMS]) {
    const what = inWords(`${member} ${sent}`)
    const body = `{"label":"a","${member}":${sent}}`
    const expectIt = (item: Record<string, unknown>, how: string) => {
      // As text, since some documents have a member that is named `__proto__`.
      if (json(item[member]) !== answered) t.equal(json(item[member]), answered, `${what} ${how}`)
    }
    const item = await done(t, 'POST', '', body)
    known.set(item.id, { member, answered })
    expectIt(item, 'in a create')
    expectIt(await done(t, 'GET', `/${item.id}`), 'in a get')
    expectIt(await created(item.id), 'in an event')
    // From nothing to the value, and from the value to itself.
    expectIt(await done(t, 'PUT', `/${id}`, body), 'in an update')
    expectIt(await done(t, 'PATCH', `/${id}`, body), 'in a patch')
    const batch = await done(t, 'POST', '/batch', `{"create":[${body}],"update":[{"id":"${id}","change":${body}}]}`)
    expectIt(batch.created[0], 'in a create of a batch')
    expectIt(batch.updated[0], 'in an update of a batch')
    t.pass(what)
  }
  let url: string | undefined = '/api/samples?limit=100'
  while (url !== undefined) {
    const page: Awaited<ReturnType<typeof ask>> = await app.inject({ url, headers: asUser(user) })
    for (const item of page.json()) {
      const { member = '', answered } = known.get(item.id) ?? {}
      if (known.delete(item.id)) t.equal(json(item[member]), answered, `${member} in a list`)
    }
    url = /<([^>]+)>; rel="next"/.exec(String(page.headers.link))?.[1]
  }
  t.equal(known.size, 0)
})

t.test('what a member cannot be is a 400 with its pointer, and changes nothing (issue 18)', async (t) => {
  const { id } = await done(t, 'POST', '', '{"label":"a"}')
  const before = (await ask('GET', `/${id}`)).body
  const total = async () => (await ask('GET', '?count=exact&limit=1')).headers['x-total-count']
  const count = await total()
  for (const [member, values] of Object.entries(INVALID)) {
    for (const [value, below] of values.map((one) => (typeof one === 'string' ? ([one, ''] as const) : one))) {
      const change = `{"${member}":${value}}`
      const create = `{"label":"a","${member}":${value}}`
      for (const [method, path, body, at] of [
        ['POST', '', create, ''],
        ['PUT', `/${id}`, change, ''],
        ['PATCH', `/${id}`, change, ''],
        ['POST', '/batch', `{"create":[${create}]}`, '/create/0'],
        ['POST', '/batch', `{"update":[{"id":"${id}","change":${change}}]}`, '/update/0/change']
      ] as const) {
        const answer = await ask(method, path, body)
        const { code, errors = [] } = answer.json()
        const pointers = errors.map(({ pointer }: { pointer: string }) => pointer)
        const isRefused = answer.statusCode === 400 && code === 'validation_failed'
        const isThere = pointers.length > 0 && pointers.every((one: string) => one === `${at}/${member}${below}`)
        t.ok(isRefused && isThere, inWords(`${method} ${path} ${body}`))
      }
    }
  }
  t.equal((await ask('GET', `/${id}`)).body, before)
  t.equal(await total(), count)
})

t.test('a document with a number that JSON.stringify would make null is told so (issue 18)', async (t) => {
  const detailOf = async (settings: string) =>
    (await ask('POST', '', `{"label":"a","settings":${settings}}`))
      .json()
      .errors.map(({ detail }: { detail: string }) => detail)
  t.same(await detailOf('{"a":[1e400]}'), ['must NOT contain a number beyond double precision'])
  t.same(await detailOf(json(x(499))), ['must NOT have more than 500 bytes of JSON'])
  t.same(await detailOf('[[[[]]]]'), ['must NOT be nested deeper than 3 levels'])
})

t.test('null and absent are kept apart (issue 18)', async (t) => {
  const { members } = sampleResource.declaration
  const full = Object.entries(VALID).map(([member, [first]]) => `"${member}":${first}`)
  for (const { name, nullable } of members.filter(({ setBy }) => setBy === 'client')) {
    const item = await done(t, 'POST', '', `{${full}}`)
    t.not(item[name], null, name)
    const other = await done(t, 'PUT', `/${item.id}`, name === 'code' ? '{"flag":true}' : '{"code":"B"}')
    t.same(other[name], item[name], `${name}: absent keeps it`)
    if (!nullable) continue
    const cleared = await done(t, 'PUT', `/${item.id}`, `{"${name}":null}`)
    t.same({ ...cleared, [name]: 1 }, { ...other, updatedAt: cleared.updatedAt, version: 3, [name]: 1 })
    t.equal(cleared[name], null, `${name}: null clears it`)
    t.equal((await done(t, 'PUT', `/${item.id}`, name === 'code' ? '{"flag":true}' : '{"code":"B"}'))[name], null)
  }
})

t.test(
  'an absent member has the default of its column, and a column that is no member never appears (issue 18)',
  async (t) => {
    const before = Date.now()
    const [first, second] = [await done(t, 'POST', '', '{"label":"a"}'), await done(t, 'POST', '', '{"label":"a"}')]
    const { id, createdAt, updatedAt, seenAt, token, ...rest } = first
    t.same(rest, {
      label: 'a',
      note: null,
      code: null,
      flag: null,
      count: 0,
      small: null,
      big: null,
      ratio: null,
      price: null,
      amount: null,
      day: null,
      at: null,
      ref: null,
      status: 'new',
      level: null,
      tags: [],
      numbers: null,
      counts: null,
      settings: null,
      origin: 'web',
      record: null,
      score: 0,
      version: 1
    })
    t.equal(createdAt, updatedAt)
    t.ok(Date.parse(seenAt) >= before - 1, 'a default in SQL')
    t.match(token, /^[0-9a-f-]{36}$/)
    t.not(token, second.token, 'a default in JavaScript is made for each')
    t.ok(id < second.id)
    t.match((await ask('POST', '', '{"label":"a","internal":"x"}')).json(), { errors: [{ pointer: '/internal' }] })
  }
)

t.test('a member is set by whom the declaration says (issue 18)', async (t) => {
  const item = await done(t, 'POST', '', '{"label":"a","origin":"app"}')
  t.match(item, { origin: 'app', score: 0 })
  for (const [method, path, body, pointer] of [
    ['PUT', `/${item.id}`, '{"origin":"x"}', '/origin'],
    ['PATCH', `/${item.id}`, '{"origin":"x"}', '/origin'],
    ['PUT', `/${item.id}`, '{"score":1}', '/score'],
    ['PATCH', `/${item.id}`, '{"label":"b","score":1}', '/score'],
    ['POST', '', '{"label":"a","score":1}', '/score'],
    ['POST', '/batch', '{"create":[{"label":"a","score":1}]}', '/create/0/score'],
    ['POST', '/batch', `{"update":[{"id":"${item.id}","change":{"origin":"x"}}]}`, '/update/0/change/origin'],
    ['POST', '/batch', `{"update":[{"id":"${item.id}","change":{"score":1}}]}`, '/update/0/change/score']
  ] as const) {
    const answer = await ask(method, path, body)
    t.match([answer.statusCode, answer.json().errors], [400, [{ in: 'body', pointer }]], body)
  }
  t.same(await done(t, 'GET', `/${item.id}`), item)
  const scores = client(app, asUser(user), '/api/scores')
  await scores('PUT', `/${item.id}`)
  t.match(await done(t, 'GET', `/${item.id}`), { score: 5, origin: 'import', version: 2 })
  t.match(await done(t, 'GET', `/${(await scores('POST')).json().id}`), { score: 7, origin: 'web', version: 1 })
})

t.test('pages of documents are cut between items (issue 18)', async (t) => {
  const own = client(app, asUser(newUser()), '/api/samples')
  const documents = VALID.settings ?? []
  for (const settings of documents) await own('POST', '', `{"label":"a","settings":${settings}}`)
  for (const limit of [1, 2, 3]) {
    const found: string[] = []
    let query: string | undefined = `?limit=${limit}&sort=createdAt`
    while (query !== undefined) {
      const page = await own('GET', query)
      found.push(...page.json().map(({ settings }: { settings: unknown }) => json(settings)))
      query = /(\?[^>]+)>; rel="next"/.exec(String(page.headers.link))?.[1]
    }
    t.same(found, documents, `by ${limit}`)
  }
})

t.test('a merge patch would merge documents, so a resource that has some takes none (issue 18)', async (t) => {
  const { id } = await done(t, 'POST', '', '{"label":"a"}')
  const type = { 'content-type': 'application/merge-patch+json' }
  t.equal((await ask('PATCH', `/${id}`, '{"label":"b"}', type)).statusCode, 415)
  t.equal((await ask('PATCH', `/${id}`, '{"label":"b"}')).statusCode, 200)
})

// The next file of this process needs the database.
t.test('the application ends', () => app.close())
