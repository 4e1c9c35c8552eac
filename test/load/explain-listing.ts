// `TEST_DATABASE_URL=postgres://… node dist/test/load/explain-listing.js` (an administrator's): what PostgreSQL does
// for each list, with 1,000,000 tasks of 10,000 users, for one of them and for a user with 10,000 tasks of their own.
import postgres from 'postgres'
import t from 'tap'
import type { Operator } from '../../src/resource/filters.ts'
import { type Statement, watchStatements } from '../contract/statements.ts'
import { asUser, build, databaseUrl } from '../support/app.ts'
import { tasksResource } from '../support/tasks.ts'

const USERS = 10_000
const TASKS = 1_000_000
const HEAVY = 'heavy'
const { filters, sorts } = tasksResource.declaration
const VALUES: Partial<Record<Operator, string>> = {
  equals: 'false',
  contains: 'milk',
  after: '2026-01-01T00:00:00Z',
  before: '2027-01-01T00:00:00Z'
}
const FILTER = filters.map(({ name, operator }) => `${name}=${VALUES[operator]}`).join('&')

// Each id is the UUIDv7 of its time, and the times are as far apart as the tasks of a busy service.
const id = `(lpad(to_hex(1767225600000 + n * 30), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid`
const values = `${id}, md5(n::text) || case when n % 50 = 0 then ' Milk' else '' end,
  case when n % 3 = 0 then repeat('Two litres, semi-skimmed. ', 4) end, n % 4 = 0,
  case when n % 2 = 0 then timestamptz '2026-01-01' + n % 700 * interval '1 day' end,
  now() - n * interval '30 ms'`
const literal = (value: string | null) => (value === null ? 'null' : `'${value.replaceAll("'", "''")}'`)

t.setTimeout(600_000)
t.test('explain', async (t) => {
  const admin = postgres(await databaseUrl('owner'), { max: 1, onnotice: () => {} })
  t.teardown(() => admin.end())
  const columns = '(user_id, id, title, description, completed, due_at, updated_at)'
  await admin.unsafe(
    `insert into tasks ${columns} select 'user-' || n % ${USERS}, ${values} from generate_series(1, ${TASKS}) n`
  )
  await admin.unsafe(`insert into tasks ${columns} select '${HEAVY}', ${values} from generate_series(1, 10000) n`)
  await admin.unsafe('vacuum analyze tasks')

  const app = await build(t, { RATE_LIMIT_MAX: 'off' })
  const lists = [
    '',
    ...sorts.flatMap(({ name }) => [`sort=${name}`, `sort=${name}&${FILTER}`]),
    `count=exact&${FILTER}`
  ]
  for (const user of ['user-7', HEAVY]) {
    for (const list of lists) {
      const headers = asUser(user)
      const sent: Statement[] = []
      // A new connection begins with an empty statement.
      const stop = watchStatements((statement) => statement.text !== '' && sent.push(statement))
      const first = await app.inject({ url: `/api/tasks?limit=50&${list}`, headers })
      t.equal(first.statusCode, 200)
      const next = /<([^>]+)>; rel="next"/.exec(String(first.headers.link))?.[1]
      if (next !== undefined) await app.inject({ url: next, headers })
      stop()
      for (const [page, { text, parameters }] of sent.entries()) {
        for (const mode of ['custom', 'generic']) {
          await admin.unsafe(`set plan_cache_mode = force_${mode}_plan`)
          await admin.unsafe(`prepare list as ${text}`)
          const run = `explain (analyze, buffers) execute list (${parameters.map(literal).join()})`
          // The first run brings the pages into memory.
          await admin.unsafe(run)
          const plan = (await admin.unsafe(run)).map((row) => String(row['QUERY PLAN'])).join('\n')
          await admin.unsafe('deallocate list')
          t.notMatch(plan, 'Seq Scan')
          const [, ms] = /Execution Time: (\S+)/.exec(plan) ?? []
          const [, buffers] = /Buffers: (.*)/.exec(plan) ?? []
          console.log(`\n# ${user} ?${list} statement ${page + 1}, ${mode} plan: ${ms} ms, ${buffers}\n${plan}`)
        }
      }
    }
  }
})
