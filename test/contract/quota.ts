import { randomUUID } from 'node:crypto'
import { sql } from 'drizzle-orm'
import { uuidv7 } from '../../src/http/uuid.ts'
import { newUser, openDatabase, testConfig } from './application.ts'
import { type Ask, asking, behind, listed, type Subject, serve, wallsOf } from './subject.ts'
import type { Suite, Test } from './test.ts'

/** The most items of a user here, whatever the declaration says. */
const MAX = 12

/** How many creates there are at once where there is room for `ROOM`. */
const AT_ONCE = 10
const ROOM = 3

/** Holds a resource that has a `max` to it: nobody has more, and everybody can have that many. */
export function quotaSuite(t: Suite, subject: Subject): void {
  const { declaration } = subject
  t.test(`${declaration.words.plural}: nobody has more than they may (issue 20)`, async (t) => {
    const max = declaration.maxOf(await testConfig(subject.env))
    if (max === null) t.pass('there is no bound')
    else testQuota(t, subject)
  })
}

function testQuota(t: Test, subject: Subject): void {
  const { declaration, create, change } = subject
  const { plural, tableName } = { ...declaration.words, tableName: declaration.tableName }
  const refusal = { status: 409, code: 'quota_exceeded', detail: `You may have at most ${MAX} ${plural}` }

  /** The application, in which a user may have `MAX` items. */
  async function serveFew(t: Test, rls: string) {
    const { maxOf } = declaration
    declaration.maxOf = () => MAX
    t.teardown(() => Object.assign(declaration, { maxOf }))
    const { app, url } = await serve(t, behind(subject, rls))
    return { app, ask: asking(app, url) }
  }
  const creates = (n: number) => Array.from({ length: n }, create)
  /** Creates items until there is room for `room` more. Returns the ids of all. */
  async function fill(ask: Ask, user: string, room = 0): Promise<string[]> {
    const there = (await listed(ask, user)).length
    await ask(user, 'POST', '/batch', { create: creates(MAX - room - there) })
    return (await listed(ask, user)).map(({ id }) => id)
  }
  const statuses = (answers: { statusCode: number }[]) => answers.map(({ statusCode }) => statusCode).sort()

  for (const rls of wallsOf(subject)) {
    t.test(`with RLS ${rls}`, async (t) => {
      const { app, ask } = await serveFew(t, rls)

      t.test('at the most a create is refused, and a delete makes room for one', async (t) => {
        const user = newUser()
        const [id = ''] = await fill(ask, user)
        for (const headers of [{}, { 'idempotency-key': randomUUID() }]) {
          for (const [path, body] of [
            ['', create()],
            ['/batch', { create: [create()] }]
          ] as const) {
            const answer = await ask(user, 'POST', path, body, headers)
            const { type: _type, title: _title, ...problem } = answer.json()
            t.same(problem, refusal)
            t.equal(answer.headers['retry-after'], undefined, 'the same request cannot succeed later')
          }
        }
        t.equal((await listed(ask, user)).length, MAX)
        t.equal((await ask(user, 'PUT', `/${id}`, change())).statusCode, 200, 'an update takes no room')
        t.equal((await ask(newUser(), 'POST', '', create())).statusCode, 201, 'others have their own room')
        await ask(user, 'DELETE', `/${id}`)
        t.equal((await ask(user, 'POST', '', create())).statusCode, 201)
        t.match((await ask(user, 'POST', '', create())).json(), refusal)
      })

      t.test('a batch is done in whole or not at all', async (t) => {
        const user = newUser()
        const [id] = await fill(ask, user, 2)
        const before = await listed(ask, user)
        t.match((await ask(user, 'POST', '/batch', { create: creates(3) })).json(), refusal)
        t.same(await listed(ask, user), before, 'nothing is done')
        t.equal((await ask(user, 'POST', '/batch', { create: creates(2) })).statusCode, 200)
        const more = { create: creates(1), update: [{ id, change: change() }] }
        t.match((await ask(user, 'POST', '/batch', more)).json(), refusal)
        t.equal((await ask(user, 'POST', '/batch', { update: more.update, delete: [{ id }] })).statusCode, 200)
        t.equal((await ask(user, 'POST', '/batch', { create: creates(1) })).statusCode, 200)
      })

      t.test('of many creates at once as many are done as there is room for', async (t) => {
        const user = newUser()
        await fill(ask, user, ROOM)
        const answers = await Promise.all(creates(AT_ONCE).map((body) => ask(user, 'POST', '', body)))
        t.same(statuses(answers), [...Array(ROOM).fill(201), ...Array(AT_ONCE - ROOM).fill(409)])
        t.equal((await listed(ask, user)).length, MAX)
      })

      t.test('so are creates with and without a key, and batches', async (t) => {
        const user = newUser()
        const answers = await Promise.all(
          Array.from({ length: AT_ONCE }, () => [
            ask(user, 'POST', '', create()),
            ask(user, 'POST', '', create(), { 'idempotency-key': randomUUID() }),
            ask(user, 'POST', '/batch', { create: creates(2) })
          ]).flat()
        )
        t.ok(answers.every(({ statusCode }) => [200, 201, 409].includes(statusCode)))
        const created = answers.reduce(
          (sum, { statusCode }) => sum + (statusCode === 200 ? 2 : statusCode === 201 ? 1 : 0),
          0
        )
        const { length } = await listed(ask, user)
        t.equal(length, created)
        // A batch of two may be refused where there was room for one.
        t.ok(length === MAX || length === MAX - 1, `${length} items`)
      })

      t.test('a create that was done is repeated where there is no room', async (t) => {
        const user = newUser()
        const [id, ...more] = [uuidv7(), uuidv7(), uuidv7()]
        const body = { id, ...create() }
        t.equal((await ask(user, 'POST', '', body)).statusCode, 201)
        const batch = { create: more.map((id) => ({ id, ...create() })) }
        t.equal((await ask(user, 'POST', '/batch', batch)).statusCode, 200)
        await fill(ask, user, 1)
        // Each counts, though it creates nothing, until the rows are counted.
        for (let i = 0; i < MAX; i++) t.equal((await ask(user, 'POST', '', body)).statusCode, 200)
        t.equal((await ask(user, 'POST', '', create())).statusCode, 201)
        t.equal((await ask(user, 'POST', '', body)).statusCode, 200)
        t.equal((await ask(user, 'POST', '', body, { 'idempotency-key': randomUUID() })).statusCode, 200)
        t.equal((await ask(user, 'POST', '/batch', batch)).statusCode, 200)
        t.match((await ask(user, 'POST', '', { ...body, ...create() })).json(), { code: 'already_exists' })
        t.match((await ask(user, 'POST', '', create())).json(), refusal)
        t.equal((await listed(ask, user)).length, MAX)
      })

      t.test('what was written outside of the service is counted when there seems to be no room', async (t) => {
        const [alice, bob] = [newUser('alice'), newUser('bob')]
        const [kept = ''] = await fill(ask, alice)
        await fill(ask, bob)
        // The embedded database has one session, which is the application's.
        await app.close()
        const { db, close } = await openDatabase(app)
        await db.execute(sql`delete from ${sql.identifier(tableName)} where user_id = ${alice} and id <> ${kept}::uuid`)
        // As if the resource had no bound before.
        await db.execute(sql`delete from row_counts where user_id = ${bob}`)
        await close()
        const again = (await serveFew(t, rls)).ask
        const answers = []
        for (const body of creates(MAX)) answers.push(await again(alice, 'POST', '', body))
        t.same(statuses(answers), [...Array(MAX - 1).fill(201), 409])
        t.match((await again(bob, 'POST', '', create())).json(), refusal)
      })
    })
  }

  // The embedded engine has one session.
  if (process.env.TEST_DATABASE_URL === undefined) return
  t.test('two instances share the room of a user', async (t) => {
    const instances = [(await serveFew(t, 'false')).ask, (await serveFew(t, 'false')).ask]
    for (const user of [newUser(), newUser(), newUser()]) {
      for (const ask of instances) await ask(user, 'POST', '', create())
      await fill(instances[0] as Ask, user, ROOM)
      const asked = instances.flatMap((ask) => creates(AT_ONCE).map((body) => ask(user, 'POST', '', body)))
      t.same(statuses(await Promise.all(asked)), [...Array(ROOM).fill(201), ...Array(2 * AT_ONCE - ROOM).fill(409)])
    }
  })
}
