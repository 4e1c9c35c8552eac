import { sql } from 'drizzle-orm'
import pino from 'pino'
import t from 'tap'
import { openClient } from '../../../src/db/client.ts'
import { testConfig } from '../../support/app.ts'
import { preparedTexts } from '../../support/prepared.ts'

/** A value of each type that a parameter has. */
const VALUES: Record<string, string> = {
  text: 'alice',
  uuid: '01900000-0000-7000-8000-000000000000',
  boolean: 'true',
  'timestamp with time zone': '2030-01-31 09:00:00+00',
  date: '2030-01-31',
  json: '{}',
  sample_status: 'new'
}

const exampleOf = (type: string): string =>
  type.endsWith('[]') ? `{${exampleOf(type.slice(0, -2))}}` : (VALUES[type] ?? '5')

/** Settings with which PostgreSQL prefers other plans. Those that a version does not have are left out. */
const PREFERENCES: Record<string, string>[] = [
  {},
  { enable_seqscan: 'off', enable_bitmapscan: 'off' },
  { enable_indexscan: 'off', enable_indexonlyscan: 'off', enable_seqscan: 'off' },
  { enable_indexscan: 'off', enable_indexonlyscan: 'off', enable_bitmapscan: 'off' },
  { enable_sort: 'off', enable_hashagg: 'off', enable_material: 'off' },
  {
    jit: 'on',
    jit_above_cost: '0',
    parallel_setup_cost: '0',
    parallel_tuple_cost: '0',
    min_parallel_table_scan_size: '0'
  },
  { cpu_operator_cost: '0.0000001' },
  { cpu_operator_cost: '1000' }
]

interface Plan {
  'Node Type': string
  'Parent Relationship'?: string
  'Subplan Name'?: string
  'One-Time Filter'?: string
  Output?: string[]
  Plans?: Plan[]
}

/** With this setting PostgreSQL does not order conditions by their cost: readiness refuses it. */
const UNORDERED = { cpu_operator_cost: '0' }

const READS_OWNER = "current_setting('rowkeeper.owner'"

const nodesOf = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]

/** How conditions refer to the subplan that names the owner: `$0`, or since PostgreSQL 17 `(InitPlan 1).col1`. */
function referenceOf(plan: Plan): string | undefined {
  const naming = nodesOf(plan).find((one) => one['Subplan Name'] !== undefined && /set_config/.test(`${one.Output}`))
  const [, name, parameter] = /^(InitPlan \d+)(?: \(returns (\$\d+)\))?$/.exec(naming?.['Subplan Name'] ?? '') ?? []
  return parameter ?? (name === undefined ? undefined : `(${name}).col1`)
}

/** The nodes that may read the owner's name before it is there. */
function early(plan: Plan, reference: string | undefined, named = false): Plan[] {
  const { Plans = [], 'One-Time Filter': filter, ...others } = plan
  const start = filter?.replace(/^\(+/, '') ?? ''
  const first = reference !== undefined && start.startsWith(`${reference.replace('(', '')} IS NOT NULL`)
  // What it returns of a row comes after the row.
  const after = named || first || plan['Node Type'] === 'ModifyTable'
  const reads = JSON.stringify(others).includes(READS_OWNER)
  const begins = filter?.includes(READS_OWNER) ?? false
  return [
    ...((reads || begins) && !named && !first ? [plan] : []),
    ...Plans.flatMap((one) => early(one, reference, one['Parent Relationship'] === 'InitPlan' ? after : named || first))
  ]
}

t.test('every plan names the owner before a policy reads the name', async (t) => {
  const { database } = await testConfig({ DATABASE_RLS: 'true', DATABASE_POOL_MAX: '1' })
  const { db, close } = await openClient(database, pino({ level: 'silent' }))
  t.teardown(close)
  const run = async <R extends Record<string, unknown>>(text: string) => [...(await db.execute<R>(sql.raw(text)))]
  const texts = preparedTexts({ namesOwner: true, recordsChanges: true })
  t.ok(texts.length > 30, `${texts.length} statements`)
  const explain = async (text: string, types: string[], preference: Record<string, string>, mode: string) => {
    const settings = Object.entries({ ...preference, plan_cache_mode: mode })
    await run('discard plans')
    for (const [name, value] of settings) await run(`set ${name} = '${value}'`)
    const owners = [...text.matchAll(/(?:"user_id" = |'rowkeeper\.owner', )\$(\d+)/g)].map(([, number]) =>
      Number(number)
    )
    const execute = (other: string) => {
      const values = types.map((type, i) =>
        type === 'text' && !owners.includes(i + 1) ? other : `'${exampleOf(type)}'`
      )
      return run<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
        `explain (verbose, costs off, format json) execute statement(${values})`
      )
    }
    // The text of a cursor may stand for a number or a moment.
    const [row] = await execute(`'alice'`).catch(() => execute('null'))
    for (const [name] of settings) await run(`reset ${name}`)
    return (row as { 'QUERY PLAN': [{ Plan: Plan }] })['QUERY PLAN'][0].Plan
  }
  let unordered = 0
  for (const text of texts) {
    await run(`prepare statement as ${text}`)
    const [row] = await run<{ types: string[] }>(
      `select array_to_json(parameter_types::text[]) as types from pg_prepared_statements where name = 'statement'`
    )
    const faults: string[] = []
    for (const preference of PREFERENCES) {
      for (const mode of ['force_generic_plan', 'force_custom_plan']) {
        const plan = await explain(text, row?.types ?? [], preference, mode)
        const names = nodesOf(plan).some((one) => /set_config/.test(`${one.Output}`))
        if (names && early(plan, referenceOf(plan)).length === 0) continue
        faults.push(`${mode} ${JSON.stringify(preference)}: ${JSON.stringify(plan)}`)
      }
    }
    t.same(faults, [], text)
    const plan = await explain(text, row?.types ?? [], UNORDERED, 'force_generic_plan')
    unordered += early(plan, referenceOf(plan)).length
    await run('deallocate statement')
  }
  t.ok(unordered > 0, 'a plan that reads the name too early is noticed')
})
