import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TSchema, type TString, Type } from '@sinclair/typebox'
import type { ValidateFunction } from 'ajv'
import { integer, text } from 'drizzle-orm/pg-core'
import t from 'tap'
import tasksResource from '../../routes/api/tasks/index.ts'
import { ownedTable } from '../../src/db/tables.ts'
import { validatorCompiler } from '../../src/http/validation.ts'
import { declare } from '../../src/resource/declaration.ts'
import { folder } from '../support/program.ts'
import samples from '../support/samples.ts'
import { page } from './page.ts'
import { differences, type Report, type Result, readReport, table } from './report.ts'
import { loadResource, markOf, readResource } from './resource.ts'
import { budgetOf, limited, type Scenario, scenariosFor } from './scenarios.ts'
import type { LoadUser } from './users.ts'

const ID = '019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708'

const user = (sub: string): LoadUser => ({
  sub,
  token: `head.${sub}.signature of ${sub}`,
  items: [
    { id: ID, version: 7 },
    { id: ID, version: 1 }
  ]
})

const task = (sub: string, id = ID) => `{"id":"${id}","title":"${markOf(sub)}x"}`

const tasks = loadResource(tasksResource.declaration, '/api/tasks')

/** Without a text that could name the owner. */
const readings = loadResource(
  declare(ownedTable('readings', { value: integer('value').notNull() }), {
    name: 'reading',
    members: { value: Type.Integer({ minimum: 5 }) }
  }),
  '/api/readings'
)

const scenarioOf = (scenarios: Scenario[], name: string) => {
  const scenario = scenarios.find((one) => one.name === name)
  if (scenario === undefined) throw new Error(`no scenario ${name}`)
  return scenario
}

const ask = (users: LoadUser[], name: string, limitsAddresses = false) =>
  scenarioOf(scenariosFor(tasks, users, limitsAddresses), name).next()

t.test('an answer that is not the one for this request is noticed', async (t) => {
  const users = [user('load-1'), user('load-1')]
  const own = task('load-1')
  // The name of one user begins with the name of the other.
  const other = task('load-11')
  const cases: [name: string, status: number, good: string, bad: string[]][] = [
    ['list', 200, `[${own},${own}]`, [`[${own},${other}]`, `[${own}]`, '[]', '']],
    ['get', 200, own, [other, task('load-1', 'another'), '']],
    ['create', 201, own, [other, '']],
    ['update', 200, own, [other, task('load-1', 'another'), '']],
    ['delete', 200, '{"detail":"Task deleted"}', ['', own]],
    ['304', 304, '', [own]],
    ['bad signature', 401, '{"code":"token_signature"}', ['{"code":"token_expired"}', own]]
  ]
  for (const [name, status, good, bad] of cases) {
    const { fault } = ask(users, name)
    t.equal(fault(status, good), undefined, name)
    for (const body of bad) t.type(fault(status, body), 'string', `${name}: ${body}`)
    for (const wrong of [200, 404, 429, 500, 503].filter((other) => other !== status)) {
      t.type(fault(wrong, good), 'string', `${name}: ${wrong}`)
    }
  }
  t.equal(ask(users, 'bad signature', true).fault(429, ''), undefined, 'where the limits are not ours')
})

t.test('an id that was shown to another user is noticed in a resource without a text', async (t) => {
  const OTHER = ID.replace('019', '018')
  const NEW = ID.replace('019', '017')
  const reading = (id: string) => `{"id":"${id}","value":5}`
  const [alice, bob] = [
    user('load-1'),
    { ...user('load-2'), items: user('load-2').items.map((item) => ({ ...item, id: OTHER })) }
  ]
  const scenarios = scenariosFor(readings, [alice, bob], false)
  const answered = (name: string, to: LoadUser, status: number, body: string) => {
    const scenario = scenarioOf(scenarios, name)
    let request = scenario.next()
    while (request.token !== to.token) request = scenario.next()
    return request.fault(status, body)
  }
  const list = (to: LoadUser, ...ids: string[]) => answered('list', to, 200, `[${ids.map(reading).join()}]`)
  t.equal(list(alice, ID, ID), undefined)
  t.equal(list(alice, ID, OTHER), "1 of 2 readings are not the caller's own")
  t.equal(list(alice, ID), '1 readings instead of at least 2')
  t.equal(answered('get', bob, 200, reading(OTHER)), undefined)
  t.match(answered('get', bob, 200, reading(NEW)), /^not the reading /)
  t.equal(list(bob, NEW, OTHER), undefined, 'what was shown to nobody else yet')
  t.equal(answered('create', alice, 201, reading(NEW)), "1 of 1 readings are not the caller's own")
  t.equal(answered('create', bob, 201, reading(NEW)), undefined)
  t.equal(answered('delete', bob, 200, '{"detail":"Reading deleted"}'), undefined)
  t.type(answered('delete', bob, 200, '{"detail":"Task deleted"}'), 'string')
  t.strictSame(
    [scenarioOf(scenarios, 'create').next()].map(({ path, body }) => ({ path, body })),
    [{ path: '/api/readings', body: '{"value":5}' }]
  )
})

t.test('the bodies fit the schemas of the declaration, and their text names the owner', async (t) => {
  for (const [resource, schemas] of [
    [tasks, tasksResource.declaration.schemas],
    [loadResource(samples.declaration, '/api/samples'), samples.declaration.schemas]
  ] as const) {
    const { ownerMember = '', words } = resource
    const fits = (schema: TSchema, body: unknown) => {
      const validate = validatorCompiler({ schema, method: 'POST', url: '', httpPart: 'body' }) as ValidateFunction
      validate(body)
      t.notOk(validate.errors, `${words.name} ${JSON.stringify(body)}`)
    }
    const sub = 'load-100000'
    const [filled, created, changed] = [resource.filled(sub, 10_000), resource.created(sub), resource.changed(sub)]
    fits(schemas.create, filled)
    fits(schemas.create, created)
    fits(schemas.change, changed)
    for (const body of [filled, created, changed]) t.match(body[ownerMember], new RegExp(`^${markOf(sub)}`), words.name)
    // A member that is left out would not be under load. An id would be of another time.
    t.strictSame(['id', ...Object.keys(filled)], Object.keys((schemas.create as TSchema).properties))
  }
})

t.test('the load of tasks stays what it was, so that reports compare', async (t) => {
  const description = 'Two litres, semi-skimmed'
  const [completed, dueAt] = [false, '2030-01-31T09:00:00Z']
  t.strictSame(tasks.filled('load-1', 7), { title: 'load-1: task 7', description, completed, dueAt })
  t.strictSame(tasks.created('load-1'), { title: 'load-1: a new task', completed, dueAt })
  t.strictSame(tasks.changed('load-1'), { title: 'load-1: a changed task', completed })
})

t.test('a declaration is found by its name, and one that cannot be loaded is refused', async (t) => {
  t.equal((await readResource('tasks')).path, '/api/tasks')
  t.equal((await readResource()).path, '/api/tasks', 'the first that there is')
  for (const name of ['nothing', 'session']) {
    await t.rejects(readResource(name), {
      message: `routes/api/${name}/index declares no resource.`
    })
  }
  const parcels = (schema: TString) =>
    loadResource(
      declare(ownedTable('parcels', { code: text('code').notNull() }), { name: 'parcel', members: { code: schema } }),
      ''
    )
  const pattern = '^[A-Z]{3}$'
  t.throws(() => parcels(Type.String({ maxLength: 3, pattern })), { message: /no value for "code"/ })
  t.strictSame(parcels(Type.String({ maxLength: 3, pattern, examples: ['ABC'] })).created('load-1'), { code: 'ABC' })
  const exact = parcels(Type.String({ minLength: 18, maxLength: 18 }))
  t.strictSame(exact.filled('load-1', 1), { code: 'load-1: parcel 1..' })
  t.strictSame(exact.created('load-1'), { code: 'load-1: a new parc' })
  t.equal(parcels(Type.String({ maxLength: 12 })).ownerMember, undefined, 'no room for the owner')
})

t.test('requests are made for the user whose token they carry', async (t) => {
  const users = [user('load-1'), user('load-2')]
  const subOf = (token: string) => token.split('.')[1]
  for (let i = 0; i < 20; i++) {
    const { body, token } = ask(users, 'create')
    t.match(body, `{"title":"${markOf(String(subOf(token)))}a new task"`)
    t.match(ask(users, 'bad signature').token, /load-1\.signature of load-2|load-2\.signature of load-1/)
    // The first half of the tasks is updated, and their versions are not known then.
    t.strictSame(ask(users, '304').headers, { 'if-none-match': '"1"' })
  }
})

t.test('what create made is deleted, once', async (t) => {
  const scenarios = scenariosFor(tasks, [user('load-1'), user('load-1')], false)
  const [create, remove] = [scenarioOf(scenarios, 'create'), scenarioOf(scenarios, 'delete')]
  t.equal(remove.most?.(), 0)
  create.next().fault(201, task('load-1'))
  create.next().fault(503, '')
  t.equal(remove.most?.(), 1)
  t.equal(remove.next().path, `/api/tasks/${ID}`)
  t.equal(remove.most?.(), 0)
})

t.test('a limit is held to what it announces', async (t) => {
  t.equal(budgetOf(new Headers()), undefined)
  const budget = budgetOf(new Headers({ 'ratelimit-policy': '"user";q=3;w=3600', ratelimit: '"user";r=2;t=3600' }))
  t.strictSame(budget, { max: 3, windowSeconds: 3600, left: 2, renewsIn: 3600 })
  if (budget === undefined) return
  const answers = (statuses: number[], given = budget) => {
    const scenario = limited('/api/tasks', 'token', given)
    const faults = statuses.map((status) => scenario.next().fault(status, '{"code":"rate_limited"}'))
    return [...faults, scenario.end?.()].filter((fault) => fault !== undefined).length
  }
  t.equal(answers([200, 429, 200, 429]), 0)
  t.equal(answers([200, 200]), 0, 'a budget that was not used up')
  t.equal(answers([200, 200, 200]), 1, 'one more than the budget')
  t.equal(answers([200, 429]), 1, 'one less')
  t.equal(answers([200, 200, 503]), 1)
  t.equal(answers([200, 200, 200, 429, 429], { ...budget, renewsIn: 1 }), 0, 'a budget that was renewed meanwhile')
})

const result = (change: Partial<Result> = {}): Result => ({
  name: 'bad signature',
  about: 'GET <all>',
  requests: 1234,
  seconds: 1,
  rate: 1234,
  latency: { p50: 1, p90: 2, p99: 3, max: 4 },
  cpu: { service: 0.05, postgres: null },
  busy: { service: 0.5, postgres: null, generator: 0.5 },
  memory: 100,
  percentiles: [
    { percent: 0, ms: 0.5 },
    { percent: 50, ms: 1 },
    { percent: 99, ms: 3 }
  ],
  overTime: [
    { second: 0.25, rate: 1200, p99: 3 },
    { second: 0.75, rate: 1268, p99: 3 }
  ],
  statuses: { 401: 1300 },
  unexpected: 0,
  faults: [],
  ...change
})

const report = (change: Partial<Result> = {}): Report => ({
  at: '2026-11-24T17:00:00.000Z',
  version: '1.0.0',
  machine: 'one',
  node: 'v20.20.2',
  database: 'PostgreSQL 15.1',
  settings: { users: 10, resource: 'tasks', items: 2, connections: 1, seconds: 1 },
  start: { readyMs: 500, memory: 90 },
  notes: [],
  scenarios: [result(change)]
})

t.test('an earlier run is read back, and what is none is said', async (t) => {
  const path = join(folder(t), 'earlier.json')
  writeFileSync(path, JSON.stringify(report()))
  t.strictSame(readReport(path), report())
  const { resource, items, ...settings } = report().settings
  writeFileSync(path, JSON.stringify({ ...report(), settings: { ...settings, tasks: items } }))
  t.match(readReport(path).settings, { resource, items }, 'of a version that loaded tasks only')
  writeFileSync(path, '{"scenarios":[]}')
  t.throws(() => readReport(path), { message: /^--compare .*: not the JSON of a load test/ })
  writeFileSync(path, 'nothing')
  t.throws(() => readReport(path), { message: /^--compare .*JSON/ })
  t.throws(() => readReport(`${path}.none`), { message: /^--compare .*ENOENT/ })
})

t.test('the table puts ratios under the figures of both runs', async (t) => {
  const lines = table(report({ rate: 2468, unexpected: 3 }), report()).split('\n')
  t.match(lines[1], /requests\/s +p50 +p90 +p99 +max +service +memory +unexpected/, 'what was not measured is left out')
  t.match(lines[2], /^bad signature +2,468 +1\.00 +2\.00 +3\.00 +4\.00 +0\.050 +100 +3$/)
  t.match(lines[3], /^ +2\.00x +1\.00x +1\.00x +1\.00x +1\.00x +1\.00x +1\.00x/)
  t.strictSame(differences(report(), report()), [])
  t.strictSame(differences({ ...report(), node: 'v26.0.0' }, report()), ['node: v26.0.0, earlier v20.20.2'])
})

t.test('the page needs nothing else, and takes nothing for markup', async (t) => {
  const html = page(report({ unexpected: 1, faults: ['500: <script>alert(1)</script>'] }), report())
  t.match(html, /1 of 1,300 answers not as expected/)
  t.match(html, '500: &lt;script&gt;')
  t.match(html, 'GET &lt;all&gt;')
  t.notMatch(html, /<script|<link|src=|url\(|https?:/)
  t.notMatch(html, /NaN|undefined|Infinity/)
  t.equal([...html.matchAll(/<svg/g)].length, 3)
  t.equal([...html.matchAll(/<polyline class="earlier"/g)].length, 3)
  const colours = page(report({ rate: 2468, latency: { p50: 2, p90: 2.1, p99: 4, max: 9 } }), report())
  t.strictSame(
    [...colours.matchAll(/ratio (\w+)/g)].map(([, kind]) => kind),
    ['better', 'worse', 'same', 'same', 'same', 'same', 'same']
  )
  t.match(page(report()), "All 1,300 answers as expected, and each the caller's own")
})
