import { eq, or, sql } from 'drizzle-orm'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import pino from 'pino'
import t from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { connect } from '../../../src/db/connect.ts'
import { ownedBy } from '../../../src/db/owned.ts'
import { tasks } from '../../../src/db/schema.ts'
import { taskStore } from '../../../src/tasks/store.ts'
import { newUser, testConfig } from '../../helper.ts'

t.test('no condition of a store widens the filter', async (t) => {
  const { database } = await testConfig()
  const { prepare, close } = await connect(database, pino({ level: 'silent' }))
  t.teardown(close)
  const own = ownedBy(prepare, tasks)
  const store = taskStore((table) => ownedBy(prepare, table))
  const [alice, mallory] = [newUser('alice'), newUser('mallory')] as [Owner, Owner]
  const { id } = await store.create(alice, { title: 'secret' })

  const everything = sql`false or true`
  const wide = {
    select: own.prepare('wide_select', (own) => own.select({ id: tasks.id }, everything)),
    orId: own.prepare('wide_or', (own) =>
      own.select({ id: tasks.id }, sql`false`, sql`${or(sql`true`, eq(tasks.id, id))}`)
    ),
    update: own.prepare('wide_update', (own) => own.update({ title: 'x' }, everything).returning({ id: tasks.id })),
    remove: own.prepare('wide_delete', (own) => own.delete(everything).returning({ id: tasks.id })),
    all: own.prepare('wide_all', (own) => own.delete().returning({ id: tasks.id }))
  }
  for (const [name, run] of Object.entries(wide)) t.same(await run(mallory), [], name)
  // Its placeholder is ours, whoever names it.
  t.same(await wide.select(mallory, { owner: alice }), [], 'the values name no owner')
  t.match(await store.get(alice, id), { id, version: 1 })
  t.same(await wide.all(alice), [{ id }])
})

/**
 * None of this compiles, or the build of the suite fails: each directive is an error where nothing is wrong below it. It is
 * never called.
 */
export function doesNotCompile(
  app: FastifyInstance,
  request: FastifyRequest<{
    Params: { id: string; userId: string }
    Body: { userId: string }
    Querystring: { sub: string }
  }>
): void {
  const own = app.owned(tasks)
  const store = taskStore(app.owned)
  const { id } = request.params
  const list = own.prepare('x', (own) => own.select({ id: tasks.id }))
  const row = { id, title: 'x' }

  // @ts-expect-error: an owner is required
  list()
  // @ts-expect-error: an owner is required, placeholders are none
  list({ owner: 'bob' })
  // @ts-expect-error: an owner is required
  store.get(id)
  // @ts-expect-error: text is no owner
  store.get('bob', id)
  // @ts-expect-error: nor is text of the URL
  store.get(request.params.userId, id)
  // @ts-expect-error: nor is text of the query string
  store.get(request.query.sub, id)
  // @ts-expect-error: nor is text of the body
  store.create(request.body.userId, { title: 'x' })
  // @ts-expect-error: nor is a header
  store.list(request.headers['x-user-id'])
  // @ts-expect-error: nor is nobody
  store.list(undefined)
  // @ts-expect-error: a body names no owner
  store.create(request.user.sub, { title: 'x', userId: 'bob' })
  // @ts-expect-error: a new row has the owner that it is created for
  own.prepare('x', (own) => own.insert({ ...row, userId: 'bob' }))
  // @ts-expect-error: a row never changes its owner
  own.prepare('x', (own) => own.update({ userId: 'bob' }))
  // @ts-expect-error: there is no way to the database but this
  app.db.execute(sql`select 1`)
  // @ts-expect-error: a table without owners is not owned
  app.owned(sql`tasks`)

  // And this does.
  list(request.user.sub)
  store.get(request.user.sub, id)
  own.prepare('x', (own) => own.insert(row))
}
