import { sql } from 'drizzle-orm'
import pino from 'pino'
import t from 'tap'
import { connect } from '../../../src/db/connect.ts'
import { SORTS } from '../../../src/tasks/schemas.ts'
import { asUser, build, newUser, testConfig } from '../../support/app.ts'
import { type Statement, watchStatements } from '../../support/statements.ts'

const FILTER = 'completed=false&q=1&dueAfter=2020-01-01T00:00:00Z&dueBefore=2040-01-01T00:00:00Z'

t.test('every list reads the range of its owner, and nothing else', async (t) => {
  const app = await build(t, { RATE_LIMIT_MAX: 'off' })
  const user = newUser()
  const headers = asUser(user)
  for (let i = 0; i < 3; i++) {
    const payload = { title: `1 ${i}`, dueAt: '2030-01-01T00:00:00Z' }
    await app.inject({ method: 'POST', url: '/api/tasks', headers, payload })
  }
  /** The statements for a list, of its first page and of the next. */
  const sentFor = async (query: string) => {
    const sent: Statement[] = []
    // A new connection begins with an empty statement.
    const stop = watchStatements((statement) => statement.text !== '' && sent.push(statement))
    const first = await app.inject({ url: `/api/tasks?limit=1&${query}`, headers })
    const next = /<([^>]+)>; rel="next"/.exec(String(first.headers.link))?.[1] ?? ''
    t.equal((await app.inject({ url: next, headers })).json().length, 1, query)
    stop()
    return sent
  }
  const lists = new Map<string, Statement[]>()
  for (const sort of SORTS) {
    for (const filter of ['', FILTER]) lists.set(`sort=${sort}&${filter}`, await sentFor(`sort=${sort}&${filter}`))
  }
  lists.set(
    'count',
    (await sentFor('count=exact')).filter(({ text }) => !text.includes('string_agg'))
  )
  t.equal(
    new Set([...lists.values()].flat().map(({ text }) => text)).size,
    SORTS.length + 3,
    'one an order, two unfiltered, a count'
  )

  // The embedded database has one session, which is the application's.
  await app.close()
  const { database } = await testConfig()
  const { db, close } = await connect(database, pino({ level: 'silent' }))
  t.teardown(close)
  await db.execute(sql`
    insert into tasks (user_id, id, title, due_at)
    select 'other-' || n % 100, gen_random_uuid(), n, now() from generate_series(1, 20000) n`)
  await db.execute(sql`
    insert into tasks (user_id, id, title, due_at)
    select ${user}, gen_random_uuid(), n, now() from generate_series(1, 200) n`)
  await db.execute(sql`vacuum analyze tasks`)
  const literal = (value: string | null) => (value === null ? 'null' : `'${value.replaceAll("'", "''")}'`)
  // PostgreSQL plans the first runs of a prepared statement for their values, and may later plan for any values.
  for (const mode of ['force_custom_plan', 'force_generic_plan']) {
    for (const [list, statements] of lists) {
      t.equal(statements.length, 2, list)
      for (const { text, parameters } of statements) {
        const rows = await db.transaction(async (transaction) => {
          await transaction.execute(sql.raw(`set local plan_cache_mode = ${mode}`))
          await transaction.execute(sql.raw(`prepare list as ${text}`))
          const run = sql.raw(`explain (costs off) execute list (${parameters.map(literal).join()})`)
          const rows = await transaction.execute(run)
          await transaction.execute(sql`deallocate list`)
          return rows
        })
        const plan = rows.map((row) => String(row['QUERY PLAN'])).join('\n')
        const what = `${mode} ${list}:\n${plan}`
        t.match(plan, /Index Cond: \(+user_id = /, what)
        t.notMatch(plan, 'Seq Scan', what)
        // The order of creation is that of the primary key: the page is read, and no more.
        if (/createdAt&$/.test(list)) {
          t.match(plan, /Index Cond: \(\(user_id = [^)]+\) AND \(id [<>] /, what)
          t.notMatch(plan, 'Sort', what)
        }
      }
    }
  }
})
