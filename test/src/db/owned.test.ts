import { eq, getTableName, or, sql } from 'drizzle-orm'
import { getTableConfig, QueryBuilder } from 'drizzle-orm/pg-core'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import pino from 'pino'
import postgres from 'postgres'
import t from 'tap'
import type { Owner } from '../../../src/auth/user.ts'
import { openDatabase } from '../../../src/db/open.ts'
import { ownedBy } from '../../../src/db/owned.ts'
import { tasks } from '../../../src/db/schema.ts'
import { databaseUrl, newUser, testConfig } from '../../support/app.ts'
import { ownedTables } from '../../support/owned-tables.ts'
import { sessionOf } from '../../support/session.ts'
import { taskStore } from '../../support/tasks.ts'

t.test('no condition of a store widens the filter', async (t) => {
  const { database } = await testConfig()
  const { prepare, close } = await openDatabase(database, pino({ level: 'silent' }))
  t.teardown(close)
  const own = ownedBy(prepare, tasks)
  const store = taskStore((table) => ownedBy(prepare, table))
  const [alice, mallory] = [newUser('alice'), newUser('mallory')] as [Owner, Owner]
  const { id } = await store.create(alice, { title: 'secret' })

  const everything = sql`false or true`
  const wide = {
    select: own.prepare((own) => own.select({ id: tasks.id }, everything)),
    orId: own.prepare((own) => own.select({ id: tasks.id }, sql`false`, sql`${or(sql`true`, eq(tasks.id, id))}`)),
    update: own.prepare((own) => own.update({ title: 'x' }, everything).returning({ id: tasks.id })),
    remove: own.prepare((own) => own.delete(everything).returning({ id: tasks.id })),
    all: own.prepare((own) => own.delete().returning({ id: tasks.id }))
  }
  for (const [name, run] of Object.entries(wide)) t.same(await run(mallory), [], name)
  // Values cannot set the placeholder of the owner.
  t.same(await wide.select(mallory, { owner: alice }), [], 'the values name no owner')
  t.match(await store.get(alice, id), { id, version: 1 })
  // Only a cast makes this compile.
  const given = { userId: mallory, title: 'given' } as unknown as { title: string }
  const give = own.prepare((own) => own.update(given).returning({ id: tasks.id }))
  t.same(await give(alice), [{ id }])
  t.equal(await store.get(mallory, id), undefined, 'a row never changes its owner')
  t.same(await wide.all(alice), [{ id }])
})

t.test('every owned table begins its primary key with the owner, and has the policy of the second wall', async (t) => {
  t.ok(ownedTables.length >= 2)
  for (const table of ownedTables) {
    const { primaryKeys, policies } = getTableConfig(table)
    const name = getTableName(table)
    t.equal(primaryKeys[0]?.columns[0]?.name, 'user_id', name)
    t.ok(policies.some((policy) => policy.name === `${name}_owner` && policy.using && policy.withCheck))
  }
})

t.test(
  'a statement whose plan went stale under a user fails for nobody, and brings nobody the row of another',
  async (t) => {
    for (const rls of ['false', 'true']) {
      const { database } = await testConfig({ DATABASE_RLS: rls, DATABASE_POOL_MAX: '2' })
      const connection = await openDatabase(database, pino({ level: 'silent' }))
      const embedded = process.env.TEST_DATABASE_URL === undefined
      const admin = embedded ? undefined : postgres(await databaseUrl('owner'), { max: 1, onnotice: () => {} })
      // The embedded database has one session, and with row-level security it is another's.
      const alter = async (type: string) => {
        const change = `alter table tasks alter version type ${type}`
        if (admin !== undefined) return admin.unsafe(change)
        for (const one of rls === 'true' ? ['reset role', change, 'set role rowkeeper'] : [change]) {
          await sessionOf(connection).send(one)
        }
        return undefined
      }
      const store = taskStore((table) => ownedBy(connection.prepare, table))
      const users = ['alice', 'bob', 'carol'].map((name) => newUser(name) as Owner)
      const ids = new Map<Owner, string>()
      for (const user of users) ids.set(user, (await store.create(user, { title: user })).id)
      const ask = async (round: number) => {
        const asked = Array.from({ length: 60 }, async (_, i) => {
          const user = users[i % users.length] as Owner
          const id = ids.get(user) ?? ''
          if (i % 4 === 3) await store.update(user, id, { description: `${round}` })
          const json = i % 2 === 0 ? (await store.get(user, id))?.json : (await store.list(user)).json.toString()
          return [json?.includes(`"title":"${user}"`), users.some((one) => one !== user && json?.includes(one))]
        })
        t.same(new Set((await Promise.all(asked)).map(String)), new Set(['true,false']), `round ${round}, wall ${rls}`)
      }
      await ask(0)
      for (const [i, type] of ['bigint', 'integer', 'bigint', 'integer'].entries()) {
        await alter(type)
        await ask(i + 1)
        await connection.transaction(users[0] as Owner, async (transaction) => {
          t.match(await store.get(users[0] as Owner, ids.get(users[0] as Owner) ?? '', transaction), {
            version: 1 + 5 * (i + 2)
          })
        })
      }
      await connection.close()
      await admin?.end()
    }
  }
)

/**
 * None of this compiles, or the build of the suite fails: each directive is an error where nothing is wrong below it.
 * It is never called.
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
  const list = own.prepare((own) => own.select({ id: tasks.id }))
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
  own.prepare((own) => own.insert({ ...row, userId: 'bob' }))
  // @ts-expect-error: a row never changes its owner
  own.prepare((own) => own.update({ userId: 'bob' }))
  // @ts-expect-error: there is no way to the database but this
  app.db.execute(sql`select 1`)
  // @ts-expect-error: a table without owners is not owned
  app.owned(sql`tasks`)

  // @ts-expect-error: a second filter would take the place of the owner's
  own.prepare((own) => own.select(row).where(sql`true`))
  // @ts-expect-error: nor can one be made possible
  own.prepare((own) => own.select({ id: tasks.id }).$dynamic())
  // @ts-expect-error: nor for a deletion
  own.prepare((own) => own.delete().$dynamic())
  // @ts-expect-error: a join brings rows of others
  own.prepare((own) => own.select({ id: tasks.id }).crossJoin(tasks))
  // @ts-expect-error: so does a union
  own.prepare((own) => own.select({ id: tasks.id }).unionAll(own.select({ id: tasks.id })))
  // @ts-expect-error: rows of nobody's are not the owner's
  own.prepare((own) => own.selectFrom(new QueryBuilder().select().from(tasks).as('t'), { id: tasks.id }))
  // @ts-expect-error: a conflict is no way to change a row
  own.prepare((own) => own.insert(row).onConflictDoUpdate({ target: tasks.id, set: { title: 'x' } }))
  // @ts-expect-error: a statement is run through `prepare`
  own.prepare((own) => own.select({ id: tasks.id }).execute({ owner: 'bob' }))

  // And this does.
  list(request.user.sub)
  store.get(request.user.sub, id)
  own.prepare((own) => own.insert(row).returning({ id: tasks.id }))
}
