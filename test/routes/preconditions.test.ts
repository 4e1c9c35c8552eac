import fc from 'fast-check'
import t from 'tap'
import { watchStatements } from '../contract/statements.ts'
import { asUser, build, newUser } from '../support/app.ts'
import { client as clientOf, type Method } from '../support/http.ts'

const UNKNOWN = '01900000-0000-7000-8000-000000000000'
const WRITES = ['PUT', 'PATCH', 'DELETE'] as const

t.test('preconditions of /api/tasks', async (t) => {
  const app = await build(t, { RATE_LIMIT_MAX: 'off' })
  const client = () => {
    const send = clientOf(app, asUser(newUser()))
    const request = (method: Method, path: string, headers: Record<string, string> = {}, payload?: object) =>
      send(method, path, payload ?? (method === 'PUT' || method === 'PATCH' ? { title: 'b' } : undefined), headers)
    const create = async (title = 'a') => `/${(await send('POST', '', { title })).json().id}`
    return { request, create }
  }

  t.test('one task is a 304 while it is what the client has', async (t) => {
    const { request, create } = client()
    const path = await create()
    const size = Buffer.byteLength((await request('GET', path)).body)
    for (const method of ['GET', 'HEAD'] as const) {
      for (const tag of ['"1"', 'W/"1"', '"7", "1"', '*']) {
        const same = await request(method, path, { 'if-none-match': tag })
        t.equal(same.statusCode, 304, `${method} ${tag}`)
        t.equal(same.headers.etag, '"1"')
        t.equal(same.body, '')
        const length = same.headers['content-length']
        t.ok(
          [undefined, String(size)].includes(length as string | undefined),
          'no length but that of the 200 (RFC 9110 section 8.6)'
        )
      }
      for (const tag of ['"2"', '1', '']) {
        t.equal((await request(method, path, { 'if-none-match': tag })).statusCode, 200, `${method} ${tag}`)
      }
      t.equal((await request(method, `/${UNKNOWN}`, { 'if-none-match': '*' })).statusCode, 404)
    }
    await request('PUT', path)
    const changed = await request('GET', path, { 'if-none-match': '"1"' })
    t.match(changed.json(), { title: 'b', version: 2 })
    t.equal(changed.headers.etag, '"2"')
  })

  t.test('a list is a 304 while each byte of it is as before', async (t) => {
    const { request, create } = client()
    const tags = new Set<unknown>()
    const known = async (query: string) => {
      const { headers, body } = await request('GET', query)
      const etag = String(headers.etag)
      t.match(etag, /^"[\w-]+"$/)
      t.notOk(tags.has(etag), `${body} has a tag of its own`)
      tags.add(etag)
      for (const method of ['GET', 'HEAD'] as const) {
        const same = await request(method, query, { 'if-none-match': `"x", W/${etag}` })
        t.equal(same.statusCode, 304)
        t.equal(same.body, '')
        for (const name of ['etag', 'link', 'x-total-count']) t.equal(same.headers[name], headers[name], name)
      }
      return etag
    }
    const none = await known('')
    const path = await create('ä🥛')
    const one = await known('?count=exact')
    t.equal((await request('GET', '', { 'if-none-match': none })).statusCode, 200)
    await create('c')
    const page = await known('?limit=1')
    await request('PATCH', path)
    const both = await known('')
    for (const before of [none, one, page]) {
      t.equal((await request('GET', '', { 'if-none-match': before })).statusCode, 200)
    }
    t.equal((await request('GET', '?sort=-createdAt', { 'if-none-match': both })).statusCode, 304)
  })

  t.test('GET and HEAD are a 412 where If-Match does not fit (issue 16, RFC 9110 section 13.1.1)', async (t) => {
    const { request, create } = client()
    const path = await create()
    const list = String((await request('GET', '')).headers.etag)
    for (const [url, etag] of [[path, '"1"'] as const, ['', list] as const]) {
      for (const method of ['GET', 'HEAD'] as const) {
        for (const tag of [etag, `"7", ${etag}`, `W/${etag}`, '*']) {
          const answer = await request(method, url, { 'if-match': tag })
          t.equal(answer.statusCode, 200, `${method} ${tag}`)
          t.equal((await request(method, url, { 'if-match': tag, 'if-none-match': etag })).statusCode, 304)
        }
        for (const tag of ['"2"', '', '1', 'W/"2"', '"x", "y"']) {
          for (const noneMatch of [{}, { 'if-none-match': etag }, { 'if-none-match': '*' }]) {
            const refused = await request(method, url, { 'if-match': tag, ...noneMatch } as Record<string, string>)
            t.equal(refused.statusCode, 412, `${method} ${tag}`)
            t.equal(refused.headers.etag, etag, 'which says what there is now')
            t.equal(refused.headers['cache-control'], 'no-store')
            if (method === 'GET') t.equal(refused.json().code, 'precondition_failed')
            else t.equal(refused.body, '')
          }
        }
      }
    }
    const foreign = `/${UNKNOWN}`
    t.equal((await request('GET', foreign, { 'if-match': '"1"' })).statusCode, 404)
    t.equal((await request('GET', foreign, { 'if-match': '*' })).statusCode, 404)
  })

  for (const method of WRITES) {
    t.test(`${method}: only what the client has seen is changed`, async (t) => {
      const { request, create } = client()
      const path = await create()
      for (const headers of [
        { 'if-match': '"2"' },
        { 'if-match': 'W/"2"' },
        { 'if-match': '"0", "x", "99999999999999999999"' },
        { 'if-match': '' },
        { 'if-none-match': '*' },
        { 'if-none-match': 'W/"1"' },
        { 'if-match': '"1"', 'if-none-match': '"1"' }
      ]) {
        const refused = await request(method, path, headers)
        t.match(refused.json(), { status: 412, code: 'precondition_failed' }, JSON.stringify(headers))
        t.equal(refused.headers.etag, '"1"', 'which says what there is now')
      }
      for (const headers of [{ 'if-match': '1' }, { 'if-match': '"1" "2"' }, { 'if-none-match': '"' }]) {
        const malformed = await request(method, path, headers)
        t.match(malformed.json(), { status: 400, code: 'bad_request' }, JSON.stringify(headers))
      }
      t.match((await request('GET', path)).json(), { title: 'a', version: 1 }, 'none of which did anything')

      const done = await request(method, path, { 'if-match': '"7", "1"', 'if-none-match': '"9"' })
      t.equal(done.statusCode, 200)
      if (method === 'DELETE') return
      t.equal(done.headers.etag, '"2"')
      t.equal((await request(method, path, { 'if-match': '*' })).headers.etag, '"3"')
      t.equal((await request(method, path)).headers.etag, '"4"', 'and without a precondition as ever')
    })

    t.test(`${method}: what is not there is a 404, whatever is asked of it`, async (t) => {
      const [alice, mallory] = [client(), client()]
      const foreign = await alice.create()
      const deleted = await mallory.create()
      await mallory.request('DELETE', deleted)
      const ask = async (path: string, tag: string) => {
        const sent: string[] = []
        const stop = watchStatements(({ text }) => sent.push(text))
        const { statusCode, headers, body } = await mallory.request(method, path, { 'if-match': tag })
        stop()
        const { date: _date, 'x-request-id': _id, ...rest } = headers
        return { statusCode, body, headers: rest, sent }
      }
      for (const tag of ['"1"', '"2"', 'W/"1"', '*']) {
        const unknown = await ask(`/${UNKNOWN}`, tag)
        t.equal(unknown.statusCode, 404)
        t.same(await ask(foreign, tag), unknown, `foreign, ${tag}`)
        t.same(await ask(deleted, tag), unknown, `deleted, ${tag}`)
      }
      t.equal((await alice.request('GET', foreign)).headers.etag, '"1"')
    })
  }

  t.test('behind a proxy that compresses an edit is done, and once only (issue 16)', async (t) => {
    const { request, create } = client()
    const nginx = (tag: unknown) => `W/${tag}`
    const apache = (tag: unknown) => String(tag).replace(/"$/, '-gzip"')
    for (const proxied of [nginx, apache]) {
      const path = await create()
      for (const method of WRITES) {
        const tag = proxied((await request('GET', path)).headers.etag)
        t.equal((await request('GET', path, { 'if-none-match': tag })).statusCode, 304, tag)
        t.equal((await request(method, path, { 'if-match': tag })).statusCode, 200, `${method} ${tag}`)
        t.equal((await request(method, path, { 'if-match': tag })).statusCode, method === 'DELETE' ? 404 : 412)
      }
      const list = proxied((await request('GET', '')).headers.etag)
      t.equal((await request('GET', '', { 'if-none-match': list })).statusCode, 304, list)
    }
  })

  t.test('writers with If-Match never lose an update', async (t) => {
    const writers = fc.record({
      rounds: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 2, maxLength: 5 }),
      methods: fc.infiniteStream(fc.constantFrom('PUT', 'PATCH' as const))
    })
    let refusals = 0
    await fc.assert(
      fc.asyncProperty(writers, async ({ rounds, methods }) => {
        const { request, create } = client()
        const path = await create('0')
        // Each writer reads, adds one and writes, until its write is accepted.
        const increment = async () => {
          for (;;) {
            const { headers, ...answer } = await request('GET', path)
            const title = String(Number(answer.json().title) + 1)
            const method = methods.next().value as 'PUT' | 'PATCH'
            const written = await request(method, path, { 'if-match': String(headers.etag) }, { title })
            if (written.statusCode === 200) return
            if (written.statusCode !== 412) throw new Error(written.body)
            refusals++
          }
        }
        const writer = async (count: number) => {
          for (let i = 0; i < count; i++) await increment()
        }
        await Promise.all(rounds.map(writer))
        const total = rounds.reduce((sum, count) => sum + count, 0)
        const { title, version } = (await request('GET', path)).json()
        if (title !== String(total) || version !== total + 1) throw new Error(`${title}, not ${total}`)
      }),
      { numRuns: 25, seed: 20_261_126 }
    )
    t.ok(refusals > 25, `${refusals} writes were refused`)
  })

  t.test('of many deletions that saw the same, and an update, one is done', async (t) => {
    const { request, create } = client()
    for (let round = 0; round < 10; round++) {
      const path = await create()
      const methods = ['DELETE', 'PUT', 'DELETE', 'PATCH', 'DELETE'] as const
      const answers = await Promise.all(methods.map((method) => request(method, path, { 'if-match': '"1"' })))
      const statuses = answers.map(({ statusCode }) => statusCode)
      t.equal(statuses.filter((status) => status === 200).length, 1, statuses.join())
      t.ok(statuses.every((status) => [200, 404, 412].includes(status)))
    }
  })
})
