import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import t from 'tap'
import '../../../routes/api/tasks/index.ts'
import {
  defineNotFound,
  listProblems,
  Problem,
  ProblemSchema,
  preparedProblem,
  sendProblem
} from '../../../src/http/problems.ts'
import { errorSerializer } from '../../../src/telemetry/error-serializer.ts'

t.test('docs/errors.md lists every error', async (t) => {
  const document = readFileSync('docs/errors.md', 'utf8')
  const rows = [...document.matchAll(/^\| (\d{3}) \| `(\w+)` \| `(.*?)` \|$/gm)].map(([, status, code, detail]) => [
    code,
    Number(status),
    detail
  ])
  const byCode = ([a]: readonly unknown[], [b]: readonly unknown[]) => (String(a) < String(b) ? -1 : 1)
  // The resources of other tests have theirs.
  const served = listProblems().filter(([code]) => !code.endsWith('_not_found') || code === 'task_not_found')
  t.same(rows.sort(byCode), served.sort(byCode))
})

t.test('every detail can stand in a quoted-string of WWW-Authenticate (RFC 9110 section 5.6.4)', async (t) => {
  for (const [code, , detail] of listProblems()) t.match(detail, /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/, code)
})

t.test('Retry-After is of the code: it is there where the same request may succeed later', async (t) => {
  const app = Fastify()
  for (const [code] of listProblems()) app.get(`/${code}`, (_request, reply) => sendProblem(reply, code))
  const later = ['idempotency_key_in_flight', 'too_many_in_flight', 'unavailable', 'keys_unavailable']
  for (const [code] of listProblems()) {
    const answer = await app.inject(`/${code}`)
    t.equal(answer.headers['retry-after'], later.includes(code) ? '1' : undefined, code)
  }
})

t.test('no URL is logged of a request that was answered twice', async (t) => {
  const app = Fastify()
  const errors: unknown[] = []
  app.get('/', (_request, reply) => {
    reply.log.warn = ((line: { err: Error }) => errors.push(errorSerializer(line.err))) as typeof reply.log.warn
    reply.send('first')
    return reply.send('second')
  })
  await app.inject('/?q=private')
  t.match(errors, [{ type: 'FastifyError', message: 'The reply was sent already', stack: String }])
  t.notMatch(JSON.stringify(errors), 'private')
})

t.test('the 404 of a resource is a problem like the others, defined once (issue 18)', async (t) => {
  const before = listProblems().length
  for (let i = 0; i < 2; i++) defineNotFound('ledger_entry_not_found', 'Ledger entry not found')
  t.equal(listProblems().length, before + 1)
  const { status, members, challenge, retryAfter } = preparedProblem('ledger_entry_not_found')
  t.match({ status, challenge, retryAfter }, { status: 404, challenge: undefined, retryAfter: undefined })
  t.match(members, { title: 'Not Found', detail: 'Ledger entry not found', code: 'ledger_entry_not_found' })
  t.equal(new Problem('ledger_entry_not_found').message, 'Ledger entry not found')
  t.match(ProblemSchema.properties.code.enum, ['bad_request'])
  t.ok(ProblemSchema.properties.code.enum.includes('ledger_entry_not_found'), 'the schema has its code')
})

t.test(
  'a detail that says more takes the place of the one in the table, with and without issues (issue 20)',
  async (t) => {
    const app = Fastify()
    const issues = [{ in: 'body', pointer: '/title', detail: 'must be unique' }]
    const { detail: usual } = preparedProblem('not_unique').members
    const cases = {
      table: [],
      same: [undefined, usual],
      detail: [undefined, 'You have two'],
      issues: [issues],
      both: [issues, 'You have two']
    } satisfies Record<string, [issues?: typeof issues | undefined, detail?: string]>
    for (const [name, [issues, detail]] of Object.entries(cases)) {
      app.get(`/${name}`, (_request, reply) => sendProblem(reply, 'not_unique', issues, detail))
    }
    const answerOf = async (name: keyof typeof cases) => (await app.inject(`/${name}`)).body
    const members = { type: 'about:blank', title: 'Conflict', status: 409, detail: usual, code: 'not_unique' }
    t.equal(await answerOf('table'), JSON.stringify(members))
    t.equal(await answerOf('same'), JSON.stringify(members), 'equal answers are equal bytes')
    t.equal(await answerOf('detail'), JSON.stringify({ ...members, detail: 'You have two' }))
    t.equal(await answerOf('issues'), JSON.stringify({ ...members, errors: issues }))
    t.equal(await answerOf('both'), JSON.stringify({ ...members, detail: 'You have two', errors: issues }))
    t.equal(new Problem('not_unique', issues, 'You have two').message, 'You have two')
    t.equal(new Problem('not_unique').message, usual)
  }
)
