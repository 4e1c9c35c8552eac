import { sql } from 'drizzle-orm'
import pino from 'pino'
import t from 'tap'
import { openClient } from '../../../src/db/client.ts'
import { type Statement, watchStatements } from '../../contract/statements.ts'
import { asUser, newUser, testConfig } from '../../support/app.ts'
import sampleResource from '../../support/samples.ts'
import { serveSamples } from '../../support/serve-samples.ts'
import { SORTS } from '../../support/tasks.ts'

const MOMENT = '2030-01-01T00:00:00Z'
const UUID = '019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708'

/** What is listed: a body that all filters find, and how many rows of others are written. */
const LISTS = [
  {
    table: 'tasks',
    sorts: SORTS,
    body: { title: '1', dueAt: MOMENT },
    filters: ['completed=false', 'q=1', 'dueAfter=2020-01-01T00:00:00Z', 'dueBefore=2040-01-01T00:00:00Z'],
    columns: 'title, due_at',
    values: 'n, now()'
  },
  {
    table: 'samples',
    sorts: sampleResource.declaration.sorts.map(({ name }) => name),
    body: {
      label: '1',
      code: 'A',
      flag: true,
      count: 1,
      big: 1,
      ratio: 1,
      price: '1.00',
      amount: '1',
      day: '2030-01-01',
      at: MOMENT,
      ref: UUID,
      status: 'open',
      level: 'low',
      tags: ['1'],
      numbers: [1],
      settings: {}
    },
    filters: [
      'label=1',
      'q=1',
      'flag=true',
      'counted=1',
      'countFrom=1',
      'countTo=1',
      'anyCount=1',
      'ratioFrom=1',
      'price=1.00',
      'priceTo=1.00',
      'amountFrom=1',
      'bigTo=1',
      'day=2030-01-01',
      'dayBefore=2040-01-01',
      'atAfter=2020-01-01T00:00:00Z',
      'createdAfter=2020-01-01T00:00:00Z',
      `ref=${UUID}`,
      'status=open',
      'level=low',
      'noLevel=false',
      'noSettings=false',
      'tag=1',
      'number=1',
      'codes=A'
    ],
    columns: 'label, flag, count, at, token',
    values: 'n, n % 2 = 0, n, now(), md5(n::text)::uuid'
  }
]

for (const { table, sorts, body, filters, columns, values } of LISTS) {
  t.test(`every list of ${table} reads the range of its owner, and nothing else (issue 18)`, async (t) => {
    const app = await serveSamples(t)
    const user = newUser()
    const headers = asUser(user)
    for (let i = 0; i < 3; i++) {
      const { statusCode } = await app.inject({ method: 'POST', url: `/api/${table}`, headers, payload: body })
      t.equal(statusCode, 201)
    }
    /** The statements for a list, of its first page and of the next. */
    const sentFor = async (query: string) => {
      const sent: Statement[] = []
      // A new connection begins with an empty statement.
      const stop = watchStatements((statement) => statement.text !== '' && sent.push(statement))
      const first = await app.inject({ url: `/api/${table}?limit=1&${query}`, headers })
      const next = /<([^>]+)>; rel="next"/.exec(String(first.headers.link))?.[1] ?? ''
      t.equal((await app.inject({ url: next, headers })).json().length, 1, query)
      stop()
      return sent
    }
    const lists = new Map<string, Statement[]>()
    const queries = sorts.flatMap((sort) => [`sort=${sort}&`, `sort=${sort}&${filters.join('&')}`])
    const alone = filters.flatMap((filter) => [`sort=-createdAt&${filter}`, `sort=updatedAt&${filter}`])
    for (const query of [...queries, ...alone]) lists.set(query, await sentFor(query))
    lists.set(
      'count',
      (await sentFor('count=exact')).filter(({ text }) => !text.includes('string_agg'))
    )
    t.equal(
      new Set([...lists.values()].flat().map(({ text }) => text)).size,
      sorts.length + 3,
      'one an order, two unfiltered, a count'
    )

    // The embedded database has one session, which is the application's.
    await app.close()
    const { database } = await testConfig()
    const { db, close } = await openClient(database, pino({ level: 'silent' }))
    t.teardown(close)
    const [into, row] = [sql.raw(`${table} (user_id, id, ${columns})`), sql.raw(values)]
    await db.execute(sql`
      insert into ${into}
      select 'other-' || n % 100, gen_random_uuid(), ${row} from generate_series(1, 20000) n`)
    await db.execute(sql`
      insert into ${into} select ${user}, gen_random_uuid(), ${row} from generate_series(1, 200) n`)
    await db.execute(sql`vacuum analyze ${sql.raw(table)}`)
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
}
