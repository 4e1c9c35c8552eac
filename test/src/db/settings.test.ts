import { sql } from 'drizzle-orm'
import pino from 'pino'
import postgres from 'postgres'
import t from 'tap'
import { openClient } from '../../../src/db/client.ts'
import { openDatabase } from '../../../src/db/open.ts'
import { asUser, build, databaseUrl, newUser, testConfig } from '../../support/app.ts'

const SKIP = process.env.TEST_DATABASE_URL === undefined && 'needs TEST_DATABASE_URL'

/** Settings that would change answers. */
const SETTINGS = {
  DateStyle: 'German',
  TimeZone: 'Asia/Kolkata',
  standard_conforming_strings: 'off',
  client_encoding: 'LATIN1'
}

t.test('settings of the database do not change what is answered (issue 16)', { skip: SKIP }, async (t) => {
  const owner = postgres(await databaseUrl(), { max: 1, onnotice: () => {} })
  t.teardown(() => owner.end())
  const [{ name } = { name: '' }] = await owner<{ name: string }[]>`select current_database() as name`
  for (const [setting, value] of Object.entries(SETTINGS)) {
    await owner.unsafe(`alter database "${name}" set ${setting} = '${value}'`)
  }
  t.teardown(() => owner.unsafe(`alter database "${name}" reset all`))

  const app = await build(t)
  t.equal((await app.inject('/health/ready')).statusCode, 200)
  const headers = asUser(newUser())
  const dueAt = ['2030-01-31T09:00:00+00:00', '2031-02-03T10:00:00.123456+00:00']
  for (const one of dueAt) {
    const payload = { title: 'O\\n’é', dueAt: one }
    const created = await app.inject({ method: 'POST', url: '/api/tasks', headers, payload })
    t.match(created.json(), payload)
    t.match(created.json().createdAt, /^\d{4}-\d\d-\d\dT[\d:.]+\+00:00$/)
  }
  const dues = async (url: string) =>
    (await app.inject({ url, headers })).json().map(({ dueAt }: { dueAt: string }) => dueAt)
  t.same(await dues('/api/tasks?sort=dueAt'), dueAt)
  t.same(await dues(`/api/tasks?dueAfter=${encodeURIComponent('2030-06-01T00:00:00+02:00')}`), dueAt.slice(1))
  const first = await app.inject({ url: '/api/tasks?sort=dueAt&limit=1', headers })
  const [, next = ''] = /^<([^>]+)>; rel="next"/.exec(String(first.headers.link)) ?? []
  t.same(await dues(next), dueAt.slice(1), 'a cursor goes on')
})

t.test(
  'settings that sessions do not set themselves are told, with the remedy (issues 16 and 18)',
  { skip: SKIP },
  async (t) => {
    const owner = postgres(await databaseUrl(), { max: 1, onnotice: () => {} })
    t.teardown(() => owner.end())
    const [{ name } = { name: '' }] = await owner<{ name: string }[]>`select current_database() as name`
    for (const [setting, value] of Object.entries({
      extra_float_digits: '0',
      cpu_operator_cost: '0',
      default_transaction_isolation: 'serializable',
      row_security: 'off'
    })) {
      await owner.unsafe(`alter database "${name}" set ${setting} = '${value}'`)
      const { database } = await testConfig({ DATABASE_POOL_MAX: '1' })
      const { readinessProblem, close } = await openDatabase(database, pino({ level: 'silent' }))
      t.match(
        await readinessProblem(['tasks']),
        new RegExp(`^The setting ${setting} .* alter role "postgres" set ${setting} = '`)
      )
      await close()
      await owner.unsafe(`alter database "${name}" reset all`)
    }
  }
)

// With a server, the pool and the check have separate connections.
const SEVERAL = SKIP === false && 'needs the one session of the embedded engine'
t.test('a setting that a pooler changed is told, with the remedy (issues 16 and 18)', { skip: SEVERAL }, async (t) => {
  const { database } = await testConfig({ DATABASE_POOL_MAX: '1' })
  const { db, readinessProblem, close } = await openClient(database, pino({ level: 'silent' }))
  t.teardown(close)
  const { client_encoding: _none, ...pinned } = SETTINGS
  const others = { default_transaction_isolation: 'serializable', extra_float_digits: '0', cpu_operator_cost: '0' }
  for (const [name, value] of Object.entries({ ...pinned, ...others })) {
    t.equal(await readinessProblem(['tasks']), undefined)
    await db.execute(sql.raw(`set ${name} = '${value}'`))
    t.match(
      await readinessProblem(['tasks']),
      new RegExp(`^The setting ${name} .* alter role "postgres" set ${name} = '`)
    )
    await db.execute(sql.raw(`reset ${name}`))
  }
  await db.execute(sql.raw("set DateStyle = 'ISO, DMY'"))
  await db.execute(sql.raw('set extra_float_digits = 3'))
  await db.execute(sql.raw('set cpu_operator_cost = 0.00001'))
  t.equal(await readinessProblem(['tasks']), undefined, 'what writes the same does as well')
})
