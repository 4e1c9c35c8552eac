import { sql } from 'drizzle-orm'
import pino from 'pino'
import t, { type Test } from 'tap'
import { type Client, openClient } from '../../../src/db/client.ts'
import { mount } from '../../contract/mount.ts'
import { type Statement, watchStatements } from '../../contract/statements.ts'
import { asUser, build, newUser, testConfig } from '../../support/app.ts'
import { foldersResource, papersResource } from '../../support/papers.ts'

const NOBODY = '01900000-0000-7000-8000-000000000000'
const literal = (value: string | null) => (value === null ? 'null' : `'${value.replaceAll("'", "''")}'`)

/** The statements on papers that the service sends for lists by a folder, in each order, and for its delete. */
async function sentFor(t: Test): Promise<Statement[]> {
  const app = await build(t, { RATE_LIMIT_MAX: 'off' }, async (app) => {
    await mount(app, foldersResource)
    await mount(app, papersResource)
  })
  const headers = asUser(newUser())
  const folder = await app.inject({ method: 'POST', url: '/api/folders', headers, payload: { name: 'Garden' } })
  const { id } = folder.json()
  const sent: Statement[] = []
  const stop = watchStatements((statement) => sent.push(statement))
  for (const { name } of papersResource.declaration.sorts) {
    const { statusCode } = await app.inject({ url: `/api/papers?folder=${id}&sort=${name}&count=exact`, headers })
    t.equal(statusCode, 200)
  }
  const { statusCode } = await app.inject({ method: 'DELETE', url: `/api/folders/${id}`, headers })
  t.equal(statusCode, 200)
  stop()
  await app.close()
  return sent.filter(({ text }) => text.includes('papers'))
}

/** The conditions by which a plan finds rows in indexes. */
async function indexConditions({ db }: Client, mode: string, { text, parameters }: Statement): Promise<string[]> {
  const run = async (text: string) => [...(await db.execute<{ 'QUERY PLAN': string }>(sql.raw(text)))]
  await run(`set plan_cache_mode = ${mode}`)
  // There are no rows, and a table without any is read as a whole.
  await run('set enable_seqscan = off')
  await run(`prepare statement as ${text}`)
  const plan = await run(`explain execute statement(${parameters.map(literal).join()})`)
  await run('deallocate statement')
  return plan.flatMap((row) => /Index Cond: (.*)/.exec(row['QUERY PLAN'])?.[1] ?? [])
}

t.test('rows are found by what they refer to, whichever plan PostgreSQL prefers (issue 20)', async (t) => {
  const sent = await sentFor(t)
  const checks = ['folder_id', 'moved_from'].map((column) => ({
    // What PostgreSQL asks for each row that is deleted (ri_triggers.c).
    text: `select 1 from only papers x where $1 = user_id and $2::uuid = ${column} for key share of x`,
    parameters: ['alice', NOBODY]
  }))
  const client = await openClient((await testConfig()).database, pino({ level: 'silent' }))
  t.teardown(client.close)
  const statements = [...sent, ...checks]
  const lists = sent.filter(({ text }) => /string_agg|count\(\*\)::int/.test(text))
  t.equal(lists.length, papersResource.declaration.sorts.length * 2)
  for (const statement of statements) {
    for (const mode of ['force_generic_plan', 'force_custom_plan']) {
      const conditions = await indexConditions(client, mode, statement)
      const found = conditions.filter((one) => /user_id/.test(one) && /folder_id|moved_from|\bid = ANY/.test(one))
      t.equal(found.length, 1, `${mode} ${statement.text}: ${conditions.join('; ')}`)
    }
  }
})
