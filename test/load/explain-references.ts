// `TEST_DATABASE_URL=postgres://… node dist/test/load/explain-references.js` (an administrator's): what PostgreSQL reads
// for lists by a reference, and for a delete of what is referred to, with 1,000,000 papers of 1,000 users and 100,000 of
// one more. It fails when a plan reads other rows than those that refer. A number is that of the users, `… 100000`: for
// users with few papers PostgreSQL prefers generic plans.
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { mount } from '../contract/mount.ts'
import { type Statement, watchStatements } from '../contract/statements.ts'
import { asUser, build, databaseUrl } from '../support/app.ts'
import { foldersResource, papersResource } from '../support/papers.ts'

/** Who has how many folders and papers. The papers of each are spread over their folders. */
const USERS = Number(process.argv[2] ?? 1000)
const LIGHT = { name: 'light', users: USERS, folders: Math.max(2, 20_000 / USERS), papers: 1_000_000 / USERS }
const HEAVY = { name: 'heavy', users: 1, folders: 1000, papers: 100_000 }
/** With so many executions PostgreSQL has chosen between the generic plan and custom plans. */
const EXECUTIONS = 20
const LIMIT = 50

const id = (n: string) => `(lpad(to_hex(1767225600000 + ${n}), 12, '0') || '70008000' || lpad('', 12, '0'))::uuid`
const literal = (value: string | null) => (value === null ? 'null' : `'${value.replaceAll("'", "''")}'`)

interface Plan {
  'Node Type': string
  'Index Name'?: string
  'Actual Rows': number
  'Rows Removed by Filter'?: number
  'Shared Hit Blocks': number
  'Shared Read Blocks': number
  Plans?: Plan[]
}

const nodesOf = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]

t.setTimeout(1_800_000)
t.test('what lists by a reference read', async (t) => {
  const admin = postgres(await databaseUrl('owner'), { max: 1, onnotice: () => {} })
  t.teardown(() => admin.end())
  await fill(admin)
  const app = await build(t, { RATE_LIMIT_MAX: 'off' }, async (app) => {
    await mount(app, foldersResource)
    await mount(app, papersResource)
  })
  const get = async (user: string, url: string) =>
    t.equal((await app.inject({ url, headers: asUser(user) })).statusCode, 200)
  const sentBy = async (work: () => Promise<unknown>) => {
    const sent: Statement[] = []
    const stop = watchStatements((statement) => sent.push(statement))
    await work()
    stop()
    // Each that the store prepared, but not a look for a single row.
    return sent.filter(({ text }) => /papers/.test(text) && !/"id" = \$/.test(text))
  }
  const lists = ['', ...papersResource.declaration.sorts.slice(1).map(({ name }) => `sort=${name}`), 'count=exact']
  for (const who of [LIGHT, HEAVY]) {
    const user = `${who.name}-1`
    const [folder] = await admin<{ id: string }[]>`select id from folders where user_id = ${user} limit 1`
    const most = who.papers / who.folders
    for (const list of lists) {
      const rest = `limit=${LIMIT}&${list}`
      const sent = await sentBy(() => get(user, `/api/papers?folder=${folder?.id}&${rest}`))
      const others = await sentBy(() => get('light-2', `/api/papers?pinned=false&${rest}`))
      for (const one of sent) await explain(t, admin, `${who.name} ?folder&${list}`, one, most, others)
    }
    const sent = await sentBy(() =>
      app.inject({ method: 'DELETE', url: `/api/folders/${folder?.id}`, headers: asUser(user) })
    )
    for (const statement of sent) await explain(t, admin, `${who.name} deletes a folder`, statement, most)
  }
  // What PostgreSQL asks for each row that is deleted (ri_triggers.c).
  for (const column of ['folder_id', 'moved_from']) {
    const text = `select 1 from only papers x where $1 = user_id and $2 = ${column} for key share of x`
    const [folder] = await admin<{ id: string }[]>`select id from folders where user_id = 'heavy-1' limit 1`
    const check = { text, parameters: ['heavy-1', String(folder?.id)] }
    await explain(t, admin, `the check of ${column}`, check, HEAVY.papers / HEAVY.folders)
  }
})

async function fill(admin: postgres.Sql): Promise<void> {
  // Without the checks of references, which would take most of the time.
  await admin.unsafe('set session_replication_role = replica')
  for (const [i, { name, users, folders, papers }] of [LIGHT, HEAVY].entries()) {
    const folder = (f: string) => id(`${i} * 100000000 + u * 10000 + ${f}`)
    await admin.unsafe(`insert into folders (user_id, id, name)
      select '${name}-' || u, ${folder('f')}, 'Folder ' || f from generate_series(1, ${users}) u, generate_series(0, ${folders - 1}) f`)
    await admin.unsafe(`insert into papers (user_id, id, folder_id, title, text)
      select '${name}-' || u, ${id(`k::bigint * 10000 + u`)}, ${folder(`k % ${folders}`)}, md5(k::text), repeat('Some text. ', k % 20)
      from generate_series(1, ${papers}) k, generate_series(1, ${users}) u`)
  }
  await admin.unsafe('reset session_replication_role')
  await admin.unsafe('vacuum analyze folders, papers')
}

/** What a prepared statement reads: PostgreSQL's own plan after `before`, unless a mode forces another. */
async function planOf(admin: postgres.Sql, mode: string, { text, parameters }: Statement, before: Statement[]) {
  const execute = (values: Statement['parameters']) =>
    `execute statement${values.length > 0 ? `(${values.map(literal).join()})` : ''}`
  await admin.unsafe(`set plan_cache_mode = ${mode}`)
  await admin.unsafe(`prepare statement as ${text}`)
  await admin.unsafe('begin')
  for (const one of before) if (one.text === text) await admin.unsafe(execute(one.parameters))
  await admin.unsafe('rollback; begin')
  const rows = await admin.unsafe(`explain (analyze, buffers, format json) ${execute(parameters)}`)
  await admin.unsafe('rollback; deallocate statement')
  const [explained] = (rows as { 'QUERY PLAN'?: { Plan: Plan; 'Execution Time': number }[] }[])[0]?.['QUERY PLAN'] ?? []
  if (explained === undefined) throw new Error('PostgreSQL explains nothing.')
  return { plan: explained.Plan, ms: explained['Execution Time'] }
}

/**
 * Explains a statement with each kind of plan. It must read no more rows than `most`, and a page.
 *
 * @param others have run before on the connection: by them PostgreSQL has chosen the kind of plan
 */
async function explain(
  t: Test,
  admin: postgres.Sql,
  what: string,
  statement: Statement,
  most: number,
  others: Statement[] = []
) {
  const before = Array.from({ length: EXECUTIONS }, () => (others.length > 0 ? others : [statement])).flat()
  for (const mode of ['force_custom_plan', 'force_generic_plan', 'auto']) {
    const { plan, ms } = await planOf(admin, mode, statement, mode === 'auto' ? before : [])
    const scans = nodesOf(plan).filter((node) => node['Index Name'] !== undefined)
    const read = scans.reduce((sum, node) => sum + node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0), 0)
    const buffers = plan['Shared Hit Blocks'] + plan['Shared Read Blocks']
    const indexes = scans.map((node) => node['Index Name']).join(', ')
    console.log(`${what}, ${mode}: ${read} rows, ${buffers} buffers, ${ms} ms by ${indexes || 'no index'}`)
    t.ok(scans.length > 0 && read <= most + 1, `${what}, ${mode}`)
    t.notMatch(JSON.stringify(plan), 'Seq Scan')
  }
}
