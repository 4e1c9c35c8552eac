import { sql } from 'drizzle-orm'
import type { Db } from '../../src/db/prepare.ts'
import { asUser, newUser, openDatabase } from './application.ts'
import { watch } from './events.ts'
import { type Statement, watchStatements } from './statements.ts'
import { behind, by, type Subject, serve, UNKNOWN, visible, wallsOf } from './subject.ts'
import type { Suite } from './test.ts'

const MALFORMED = [
  'x',
  '1',
  'null',
  '%20',
  '%00',
  `${UNKNOWN}x`,
  UNKNOWN.slice(1),
  UNKNOWN.replaceAll('-', ''),
  `%7B${UNKNOWN}%7D`,
  `urn:uuid:${UNKNOWN}`,
  `${UNKNOWN}%00`,
  `${UNKNOWN}%0A`,
  'zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz',
  '١٢٣٤٥٦٧٨-1234-7234-8234-123456789012',
  "'%20or%20''='"
]

// Ids of RFC 9562 that are no UUIDv7: well-formed, so unknown rather than malformed, with the same answer.
const OTHER_UUIDS = [
  '00000000-0000-0000-0000-000000000000',
  'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF',
  '6ba7b810-9dad-11d1-80b4-00c04fd430c8'
]

const VERBS = ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE'] as const

// Claims about another user, which the service must not believe.
const lyingHeaders = (victim: string): Record<string, string> => ({
  'x-user-id': victim,
  'x-forwarded-user': victim,
  'x-sub': victim,
  cookie: `user=${victim}; sub=${victim}`
})
const lyingMembers = (victim: string) =>
  ['userId', 'user_id', 'userid', 'owner', 'ownerId', 'sub', 'user', 'id', '__proto__'].map(
    // As text, since an object literal would set its prototype.
    (name) => `"${name}":${name === 'user' || name === '__proto__' ? `{"userId":"${victim}"}` : `"${victim}"`}`
  )

/**
 * Holds a resource to the promise that a user reaches their own items and nobody else's: the matrix of verbs, ids and
 * lies; foreign, unknown and deleted ids answered alike and at the same cost; and streams of changes.
 */
export function isolationTests(t: Suite, subject: Subject): void {
  for (const rls of wallsOf(subject)) testIsolation(t, behind(subject, rls), rls)
}

function testIsolation(t: Suite, subject: Subject, rls: string): void {
  const { plural } = subject.declaration.words

  t.test(`nobody reaches the ${plural} of somebody else, RLS ${rls}`, async (t) => {
    const { app, url: collection } = await serve(t, subject)
    const [alice, mallory] = [newUser('alice'), newUser('mallory')]
    const create = (user: string) => app.inject(by(user, 'POST', collection, subject.create()))

    for (const method of VERBS) {
      t.test(`${method}: own, foreign, unknown and malformed ids`, async (t) => {
        const stored = await create(alice)
        const url = String(stored.headers.location)
        const change = subject.change()
        for (const liar of [{}, lyingHeaders(alice)]) {
          const ask = (at: string) => {
            const options = by(mallory, method, at, change)
            return app.inject({ ...options, headers: { ...options.headers, ...liar } }).then(visible)
          }
          const foreign = await ask(url)
          const unknown = await ask(`${collection}/${UNKNOWN}`)
          t.equal(foreign.statusCode, 404)
          t.same(foreign, unknown, 'a foreign item is answered exactly as a missing one')
          for (const id of [...MALFORMED, ...OTHER_UUIDS]) {
            t.same(await ask(`${collection}/${id}`), unknown, `as is ${id}`)
          }
          if (method !== 'HEAD') {
            t.match(JSON.parse(Buffer.from(unknown.bytes, 'hex').toString()), { status: 404, code: subject.notFound })
          }
          t.same(
            await ask(`${url}?userId=${alice}&user_id=${alice}&sub=${alice}`),
            unknown,
            'a query string names no owner'
          )
        }
        t.equal((await app.inject(by(alice, 'GET', url))).body, stored.body, "mallory's requests changed nothing")
        const own = by(alice, method, url, change)
        own.headers = { ...own.headers, ...lyingHeaders(mallory) }
        t.equal((await app.inject(own)).statusCode, 200, 'nor does a lie keep alice from her own')
      })
    }

    t.test('a body that names an owner is a 400, and does nothing', async (t) => {
      const stored = await create(alice)
      const url = String(stored.headers.location)
      for (const member of lyingMembers(alice)) {
        for (const [user, method, at, body] of [
          [mallory, 'POST', collection, subject.create()],
          [alice, 'PUT', url, subject.change()],
          [alice, 'PATCH', url, subject.change()]
        ] as const) {
          const payload = JSON.stringify(body).replace('{', `{${member},`)
          const headers = { ...asUser(user), 'content-type': 'application/json' }
          const answer = await app.inject({ method, url: at, headers, payload })
          t.match(answer.json(), { status: 400, code: 'validation_failed' }, `${method} ${member}`)
        }
      }
      t.equal((await app.inject(by(mallory, 'GET', collection))).body, '[]')
      t.equal((await app.inject(by(alice, 'GET', url))).body, stored.body)
    })

    t.test('lists and cursors stay within their owner', async (t) => {
      const [bob, eve] = [newUser('bob'), newUser('eve')]
      const ids = new Map<string, string[]>([bob, eve].map((user) => [user, []]))
      for (const user of [bob, eve, bob, eve, bob]) {
        const options = by(user, 'POST', `${collection}?userId=${bob}&user_id=${bob}&sub=${bob}`, subject.create())
        const created = await app.inject({ ...options, headers: { ...options.headers, ...lyingHeaders(bob) } })
        ids.get(user)?.unshift(created.json().id)
      }
      const listed = async (user: string, url: string) => {
        const options = by(user, 'GET', url)
        const answer = await app.inject({ ...options, headers: { ...options.headers, ...lyingHeaders(bob) } })
        return answer.json().map(({ id }: { id: string }) => id)
      }
      for (const user of [bob, eve]) t.same(await listed(user, collection), ids.get(user))
      t.same(await listed(eve, `${collection}?userId=${bob}`), ids.get(eve))
      const page = await app.inject(by(bob, 'GET', `${collection}?limit=1`))
      const next = /<([^>]+)>; rel="next"/.exec(String(page.headers.link))?.[1] ?? ''
      const foreign = (await listed(eve, next)) as string[]
      t.ok(
        foreign.every((id) => ids.get(eve)?.includes(id)),
        "bob's cursor shows eve her own"
      )
    })

    t.test('lies about the owner of a batch, of a key and of a count change nothing', async (t) => {
      const stored = await create(alice)
      const { id } = stored.json()
      const query = `userId=${alice}&user_id=${alice}&sub=${alice}`
      const ask = async (method: 'GET' | 'POST', at: string, payload?: object | string, key?: string) => {
        const { headers, ...options } = by(mallory, method, `${collection}${at}`)
        const more = { ...(key && { 'idempotency-key': key }), ...(payload && { 'content-type': 'application/json' }) }
        return app.inject({
          ...options,
          headers: { ...headers, ...lyingHeaders(alice), ...more },
          ...(payload && { payload: typeof payload === 'string' ? payload : JSON.stringify(payload) })
        })
      }
      const change = subject.change()
      for (const key of [undefined, newUser('key')]) {
        for (const [payload, pointer] of [
          [{ update: [{ id, change }] }, '/update/0'],
          [{ update: [{ id, version: 1, change }] }, '/update/0'],
          [{ create: [subject.create()], delete: [{ id }] }, '/delete/0']
        ] as const) {
          const answer = await ask('POST', `/batch?${query}`, payload, key)
          t.match(answer.json(), { status: 404, code: subject.notFound, errors: [{ pointer }] })
        }
        const done = await ask('POST', `/batch?${query}`, { create: [subject.create()] }, key && `${key}-batch`)
        t.equal(done.statusCode, 200)
        t.equal((await ask('POST', `?${query}`, subject.create(), key)).statusCode, 201)
      }
      for (const member of lyingMembers(alice)) {
        for (const [batch, operation] of [
          [{ create: [subject.create()] }, /\{/],
          [{ update: [{ id, change }] }, /\{/],
          [{ create: [subject.create()] }, /(?<=\[)\{/],
          // The operation itself has an id.
          ...(member.startsWith('"id"') ? [] : [[{ update: [{ id, change }] }, /(?<=\[)\{/] as const]),
          [{ update: [{ id, change }] }, /(?<="change":)\{/],
          ...(member.startsWith('"id"') ? [] : [[{ delete: [{ id }] }, /(?<=\[)\{/] as const])
        ] as const) {
          const payload = JSON.stringify(batch).replace(operation, `{${member},`)
          const answer = await ask('POST', '/batch', payload)
          t.match(answer.json(), { status: 400, code: 'validation_failed' }, payload.slice(0, 80))
        }
      }
      const counted = await ask('GET', `?count=exact&${query}`)
      t.equal(counted.headers['x-total-count'], '4')
      t.equal((await app.inject(by(alice, 'GET', `${collection}/${id}`))).body, stored.body)
    })

    t.test('owners that differ in case, accents or spaces only are different owners', async (t) => {
      const base = newUser('Zoë')
      const owners = [
        base,
        base.toLowerCase(),
        base.normalize('NFD'),
        ` ${base}`,
        `${base} `,
        `${base}%`,
        base.slice(0, -1)
      ]
      const ids: string[] = []
      for (const owner of owners) ids.push((await create(owner)).json().id)
      for (const [i, owner] of owners.entries()) {
        t.match((await app.inject(by(owner, 'GET', collection))).json(), [{ id: ids[i] }])
        t.equal((await app.inject(by(owner, 'GET', collection))).json().length, 1)
      }
    })

    t.test('without a valid token the handler does not run', async (t) => {
      const sent: Statement[] = []
      const stop = watchStatements((statement) => sent.push(statement))
      for (const headers of [{}, lyingHeaders(alice), { authorization: 'Bearer x.y.z', ...lyingHeaders(alice) }]) {
        for (const method of ['GET', 'POST'] as const) {
          t.equal((await app.inject({ method, url: `${collection}?access_token=x`, headers })).statusCode, 401)
        }
        for (const method of VERBS) {
          t.equal((await app.inject({ method, url: `${collection}/${UNKNOWN}`, headers })).statusCode, 401, method)
        }
      }
      stop()
      t.same(sent, [], 'nothing was asked of the database')
    })
  })

  t.test(
    `${plural}: while several users write at once, each hears of their own items and of all of them, RLS ${rls}`,
    async (t) => {
      const { app, url: collection } = await serve(t, subject)
      const events = `${collection}/events`
      const users = [newUser('alice'), newUser('bob'), newUser('mallory')]
      const write = async (user: string) => {
        const { headers } = await app.inject(by(user, 'POST', collection, subject.create()))
        const url = String(headers.location)
        await app.inject(by(user, 'PATCH', url, subject.change()))
        // Nothing changes, so nobody hears of it.
        for (const other of users.filter((one) => one !== user)) {
          await app.inject(by(other, 'PATCH', url, subject.change()))
          await app.inject(by(other, 'DELETE', url))
        }
        await app.inject(by(user, 'DELETE', url))
        return ['created', 'updated', 'deleted'].map((kind) => `${kind} ${url.split('/').at(-1)}`)
      }
      const streams = await Promise.all(
        users.map((user) => watch(t, app, user, { url: `${events}?userId=${users[0]}&sub=${users[0]}` }))
      )
      for (const stream of streams) t.equal((await stream.next())?.event, 'reload')
      const written = await Promise.all(
        users.map(async (user) => (await Promise.all(Array.from({ length: 6 }, () => write(user)))).flat())
      )
      for (const [i, stream] of streams.entries()) {
        const heard = await stream.changes(written[i]?.length ?? 0)
        t.same(heard.map(([kind, id]) => `${kind} ${id}`).sort(), written[i]?.sort(), `stream ${i}`)
        // After somebody else's number what comes is their own. One more: the number may happen to be that of their
        // last.
        const theirs = await watch(t, app, String(users[i]), { url: events, lastId: streams[(i + 1) % 3]?.lastId })
        const own = [...(written[i] ?? []), ...(await write(String(users[i])))]
        const next = await theirs.next()
        t.ok(next?.event === 'reload' || own.some((one) => one.endsWith(JSON.parse(String(next?.data)).id)))
      }
    }
  )

  t.test(
    `${plural}: a foreign, an unknown and a deleted id cost the same statements, and the same plans, RLS ${rls}`,
    async (t) => {
      const { app, url: collection } = await serve(t, subject)
      const [alice, mallory] = [newUser('alice'), newUser('mallory')]
      const change = subject.change()
      const make = async (user: string) =>
        String((await app.inject(by(user, 'POST', collection, subject.create()))).headers.location)
      const deleted = await make(mallory)
      await app.inject(by(mallory, 'DELETE', deleted))
      const urls = { foreign: await make(alice), unknown: `${collection}/${UNKNOWN}`, deleted }
      const sent: Record<string, Record<keyof typeof urls, Statement[]>> = {}
      for (const method of VERBS) {
        const of = { foreign: [], unknown: [], deleted: [] } as Record<keyof typeof urls, Statement[]>
        sent[method] = of
        // The first of a connection is prepared.
        await app.inject(by(mallory, method, urls.unknown, change))
        for (const name of ['foreign', 'unknown', 'deleted'] as const) {
          const stop = watchStatements((statement) => of[name].push(statement))
          t.equal((await app.inject(by(mallory, method, urls[name], change))).statusCode, 404)
          stop()
        }
        const texts = (name: keyof typeof urls) => of[name].map(({ text }) => text)
        t.ok(of.unknown.length > 0, `${method} asks the database`)
        for (const name of ['foreign', 'deleted'] as const) t.same(texts(name), texts('unknown'), `${method}: ${name}`)
      }

      // The embedded database has one session, which is the application's.
      await app.close()
      const { db, close } = await openDatabase(app, subject.env)
      t.teardown(close)
      /** The plans of statements, and how many rows went through each step, without having done anything. */
      const plan = async (statements: Statement[]) => {
        const lines: string[] = []
        const UNDO = new Error('undo')
        const ask = async (transaction: Db) => {
          // The test has a few rows, for which the planner may rightly prefer a scan. It is to show that an index fits.
          await transaction.execute(sql`set local enable_seqscan = off`)
          for (const { text, parameters } of statements.filter(({ text }) => !/^(?:begin|commit)$/.test(text))) {
            const explain = /^select (?:set_config|rowkeeper_name_owner)\(/.test(text)
              ? ''
              : 'explain (analyze, costs off, timing off, summary off, buffers off) '
            const parts = text
              .split(/\$(\d+)/)
              .map((part, i) => (i % 2 === 0 ? sql.raw(part) : sql`${parameters[Number(part) - 1]}`))
            const rows = await transaction.execute(sql.join([sql.raw(explain), ...parts]))
            lines.push(...rows.map((row) => String(row['QUERY PLAN']).replaceAll(/'[^']*'/g, '?')))
          }
          throw UNDO
        }
        await db.transaction(ask).catch((error) => {
          if (error !== UNDO) throw error
        })
        return lines
      }
      for (const [method, of] of Object.entries(sent)) {
        const expected = await plan(of.unknown)
        t.match(expected.join('\n'), /Index/, method)
        t.ok(!/Seq Scan/.test(expected.join('\n')), method)
        for (const name of ['foreign', 'deleted'] as const) t.same(await plan(of[name]), expected, `${method}: ${name}`)
      }
    }
  )
}
