import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import { asUser, build, newUser } from '../support/app.ts'
import { client as clientOf } from '../support/http.ts'

const links = (header: unknown) =>
  Object.fromEntries(
    [...String(header).matchAll(/<([^>]+)>; rel="(\w+)"/g)].map(([, target = '', rel = '']) => [rel, target])
  )

t.test('the lists of /api/tasks', async (t) => {
  const app = await build(t, { RATE_LIMIT_MAX: 'off' })
  const client = () => {
    const headers = asUser(newUser())
    const request = clientOf(app, headers)
    const get = (url: string) => (url.startsWith('/api') ? app.inject({ url, headers }) : request('GET', url))
    return {
      get,
      create: async (task: object) => (await request('POST', '', task)).json().id as string,
      change: (id: string, payload: object) => request('PUT', `/${id}`, payload),
      titles: async (url: string): Promise<string> =>
        (await get(url))
          .json()
          .map(({ title }: { title: string }) => title)
          .join(' ')
    }
  }

  t.test('each order, both ways', async (t) => {
    const { get, create, change, titles } = client()
    const ids: string[] = []
    for (const [title, dueAt] of [
      ['b', '2030-01-01T00:00:00.000002Z'],
      ['C', null],
      ['a', '2030-01-01T00:00:00.000001Z'],
      ['ä', null],
      ['Z', '2029-12-31T23:59:59+00:00'],
      ['Ä', '2031-01-01T00:00:00Z']
    ])
      ids.push(await create({ title, dueAt }))
    // The clock of ids may be some milliseconds before that of the database, which `updatedAt` is by.
    const last = (await get(`/${ids[5]}`)).json().createdAt
    while (Date.now() <= Date.parse(last) + 1) await turn()
    await change(ids[1] ?? '', { completed: true })
    for (const [sort, expected] of Object.entries({
      createdAt: 'b C a ä Z Ä',
      '-createdAt': 'Ä Z ä a C b',
      updatedAt: 'b a ä Z Ä C',
      '-updatedAt': 'C Ä Z ä a b',
      // Tasks without a date come last in both orders, by creation.
      dueAt: 'Z a b Ä C ä',
      '-dueAt': 'Ä b a Z ä C',
      // ASCII letters compare without case, and other characters by their code points.
      title: 'a b C Z Ä ä',
      '-title': 'ä Ä Z C b a'
    })) {
      t.equal(await titles(`?sort=${sort}`), expected, sort)
    }
    t.equal(await titles(''), 'Ä Z ä a C b', 'newest first unless asked otherwise')
  })

  t.test('each filter, and all together', async (t) => {
    const { create, titles } = client()
    await create({ title: 'Milk', completed: true, dueAt: '2030-01-01T00:00:00Z' })
    await create({ title: '100%', description: 'of the MILK', dueAt: '2030-01-01T00:00:00.000001Z' })
    await create({ title: 'under_score', description: 'back\\slash' })
    await create({ title: 'ÄPFEL', dueAt: '2031-01-01T00:00:00Z' })
    for (const [query, expected] of Object.entries({
      'completed=true': 'Milk',
      'completed=false': 'ÄPFEL under_score 100%',
      'q=milk': '100% Milk',
      'q=MILK&completed=false': '100%',
      'q=%25': '100%',
      'q=_': 'under_score',
      'q=%5C': 'under_score',
      'q=%C3%A4pfel': 'ÄPFEL',
      'q=apfel': '',
      'q=m%25k': '',
      'dueBefore=2030-01-01T00:00:00.000001Z': 'Milk',
      'dueAfter=2030-01-01T00:00:00Z': 'ÄPFEL 100%',
      'dueAfter=2029-12-31T23:59:59.999999Z&dueBefore=2030-01-01T01:00:00.000001%2B01:00': 'Milk',
      'q=e&completed=false&dueAfter=2030-01-01T00:00:00Z&sort=title': '100% ÄPFEL',
      'q=milk&unknown=1&sortOf=title': '100% Milk'
    })) {
      t.equal(await titles(`?${query}`), expected, query)
    }
  })

  t.test('a total only when it is asked for', async (t) => {
    const { create, get } = client()
    t.equal((await get('?count=exact')).headers['x-total-count'], '0')
    for (const title of ['a', 'b', 'ab']) await create({ title })
    t.equal((await get('?limit=1')).headers['x-total-count'], undefined)
    t.equal((await get('?limit=1&count=exact')).headers['x-total-count'], '3')
    const page = await get('?limit=1&count=exact&q=b')
    t.equal(page.headers['x-total-count'], '2', 'of what is asked for')
    t.equal((await get(links(page.headers.link).next ?? '')).headers['x-total-count'], '2', 'on every page')
  })

  t.test('Link keeps all that was asked for (RFC 8288)', async (t) => {
    const { create, get } = client()
    const q = `<"'>&=+# %ä🥛`
    for (let i = 0; i < 3; i++) await create({ title: `${q}${i}`, dueAt: '2030-01-01T00:00:00Z' })
    const query = new URLSearchParams({
      limit: '1',
      q,
      completed: 'false',
      sort: '-title',
      dueBefore: '2030-01-01T01:00:01+01:00',
      dueAfter: '2029-12-31T23:00:00-00:30',
      count: 'exact'
    })
    const page = await get(`?${query}`)
    t.equal(page.json().length, 1)
    t.match(page.headers.link, /^<[!#-;=?-~]+>; rel="next", <[!#-;=?-~]+>; rel="first"$/)
    const { next = '', first = '' } = links(page.headers.link)
    const asked = Object.fromEntries(query)
    t.same(Object.fromEntries(new URL(first, 'http://x').searchParams), asked)
    const { cursor, ...rest } = Object.fromEntries(new URL(next, 'http://x').searchParams)
    t.same(rest, asked)
    t.ok(cursor)
    t.equal((await get(first)).body, page.body)
    const second = await get(next)
    t.match(second.json(), [{ title: `${q}1` }])
    t.equal(links(second.headers.link).first, first, 'of every page')
    t.equal((await get('?sort=-createdAt')).headers.link, '</api/tasks?limit=50>; rel="first"', 'but for defaults')
  })

  t.test('a Link fits what proxies take of a header (issue 16)', async (t) => {
    const { create, get } = client()
    const q = '\u4efb'.repeat(191)
    for (let i = 0; i < 2; i++) await create({ title: `${q}${i}` })
    const { link } = (await get(`?limit=1&q=${encodeURIComponent(q)}`)).headers
    t.ok(String(link).length < 2048, `${link?.length}`)
    t.same(Object.keys(links(link)), ['next'])
    const last = await get(links(link).next ?? '')
    t.equal(last.json().length, 1)
    t.same(Object.keys(links(last.headers.link)), ['first'])
  })

  t.test('a text is found in composed and in decomposed letters (issue 16)', async (t) => {
    const { create, get } = client()
    const forms = ['Caf\u00e9', 'Cafe\u0301']
    for (const title of forms) await create({ title: `${title} here` })
    await create({ title: 'Cafe', description: null })
    await create({ title: 'x', description: forms[1] })
    for (const q of forms) t.equal((await get(`?q=${encodeURIComponent(q.toLowerCase())}`)).json().length, 3)
    t.equal((await get('?q=cafe')).json().length, 3, 'without the accent as before')
  })

  t.test('newest first is what createdAt says (issue 16)', async (t) => {
    const { create, get } = client()
    await Promise.all(Array.from({ length: 100 }, (_, n) => create({ title: `${n}` })))
    const all: { createdAt: string; updatedAt: string }[] = (await get('?limit=100')).json()
    const times = all.map(({ createdAt }) => createdAt)
    t.equal(times.length, 100)
    t.same(times, [...times].sort().reverse())
    for (const one of all) t.equal(one.updatedAt, one.createdAt)
  })

  t.test('a cursor is good for its own filter and order, whatever the limit', async (t) => {
    const { create, get } = client()
    const title = '\u{1f600}'.repeat(200)
    for (let i = 0; i < 3; i++) await create({ title, description: 'x' })
    const sorts = ['createdAt', '-createdAt', 'updatedAt', '-updatedAt', 'dueAt', '-dueAt', 'title', '-title']
    const lists = [
      ...sorts.map((sort) => `sort=${sort}`),
      'q=x',
      'q=X',
      'completed=false',
      'dueBefore=2030-01-01T00:00:00Z',
      'dueAfter=2030-01-01T00:00:00Z'
    ]
    let cursors = 0
    for (const from of lists) {
      const { next } = links((await get(`?limit=1&${from}`)).headers.link)
      if (next === undefined) continue
      cursors++
      const cursor = new URL(next, 'http://x').searchParams.get('cursor')
      t.equal((await get(`?${from}&limit=100&cursor=${cursor}`)).json().length, 2)
      for (const to of lists) {
        if (to === from) continue
        const answer = await get(`?${to}&cursor=${cursor}`)
        t.match(answer.json(), { status: 400, code: 'validation_failed' }, `${from} -> ${to}`)
        t.same(answer.json().errors, [
          {
            in: 'query',
            pointer: '/cursor',
            detail: 'must be from the Link of a page with the same filter and sort'
          }
        ])
      }
    }
    t.equal(cursors, 11)
  })

  t.test('a cursor is bound to each filter that it came from, and to its value', async (t) => {
    const { create, get } = client()
    const moments = ['2029-01-01T00:00:00Z', '2030-01-01T00:00:00Z', '2031-01-01T00:00:00Z']
    for (const dueAt of moments) {
      for (const completed of [true, false]) {
        for (let i = 0; i < 2; i++) await create({ title: 'Milk', completed, dueAt })
      }
    }
    const [, middle = '', last = ''] = moments
    const lists = [
      '',
      `dueBefore=${middle}`,
      `dueBefore=${last}`,
      `dueAfter=${middle}`,
      `dueAfter=${moments[0]}`
    ].flatMap((due) => ['', 'completed=true', 'completed=false', 'q=milk', 'q=mil'].map((other) => `${due}&${other}`))
    for (const from of lists) {
      const { next = '' } = links((await get(`?limit=1&${from}`)).headers.link)
      const cursor = new URL(next, 'http://x').searchParams.get('cursor')
      for (const to of lists) {
        const { statusCode } = await get(`?${to}&cursor=${cursor}`)
        t.equal(statusCode, to === from ? 200 : 400, `${from} -> ${to}`)
      }
    }
  })

  t.test('a cursor that was tampered with is a 400, as is any other text', async (t) => {
    const { create, get } = client()
    for (let i = 0; i < 2; i++) await create({ title: 'Milk', dueAt: '2030-01-01T00:00:00.123456Z' })
    for (const sort of ['-createdAt', 'title', 'dueAt']) {
      const { next = '' } = links((await get(`?limit=1&sort=${sort}`)).headers.link)
      const good = new URL(next, 'http://x').searchParams.get('cursor') ?? ''
      const wrong = async (cursor: string) => {
        const answer = await get(`?sort=${sort}&cursor=${encodeURIComponent(cursor)}`)
        t.equal(answer.statusCode, 400, `${sort}: ${cursor}`)
        t.match(answer.json(), { code: 'validation_failed', errors: [{ in: 'query', pointer: '/cursor' }] })
      }
      for (let i = 0; i < good.length; i++) {
        await wrong(good.slice(0, i) + (good[i] === 'A' ? 'B' : 'A') + good.slice(i + 1))
      }
      await wrong(good.slice(0, -1))
      await wrong(`${good}A`)
      await wrong(`${good}==`)
      await wrong(good.repeat(100))
      await fc.assert(
        fc.asyncProperty(
          fc.oneof(fc.string({ unit: 'binary' }), fc.base64String(), fc.stringMatching(/^[\w-]{1,1200}$/)),
          wrong
        ),
        { numRuns: 50 }
      )
    }
  })

  for (const query of [
    'completed=1',
    'completed=TRUE',
    'completed=',
    'completed=null',
    'completed=true&completed=true',
    'q=',
    `q=${'x'.repeat(201)}`,
    'q=%00',
    'dueBefore=tomorrow',
    'dueBefore=2030-01-01T00:00:00',
    'dueAfter=2030-02-30T00:00:00Z',
    'dueAfter=2030-01-01T00:00:00+01:00',
    'dueAfter=',
    'sort=id',
    'sort=%2Btitle',
    'sort=Title',
    'sort=--title',
    'sort=title,dueAt',
    'sort=__proto__',
    'sort=',
    'count=estimate',
    'count=true',
    'count='
  ]) {
    t.test(`?${query} is a 400`, async (t) => {
      const answer = await client().get(`?${query}`)
      t.equal(answer.statusCode, 400)
      const pointer = `/${query.split('=')[0]}`
      t.match(answer.json(), { code: 'validation_failed', errors: [{ in: 'query', pointer }] })
    })
  }
})
