import t from 'tap'
import { classify, isReadOnly, isStale, isStalePlan } from '../../../src/db/errors.ts'
import { misconfiguration } from '../../../src/db/misconfiguration.ts'

t.test('what a timeout of the operator ends is a 503, not a 500 (issue 16)', async (t) => {
  // idle_in_transaction_session_timeout, transaction_timeout, lock_timeout, statement_timeout, idle_session_timeout.
  for (const code of ['25P03', '25P04', '55P03', '57014', '57P05']) t.equal(classify({ code }), 'unavailable', code)
})

t.test('an error is classified by the code that the driver gave it, if any', async (t) => {
  t.equal(classify(Object.assign(new Error(), { cause: { code: '57P01' } })), 'unavailable')
  // One at least of each class, and of each code alone.
  const sqlstates = [
    '08006',
    '25006',
    '25P03',
    '25P04',
    '28P01',
    '3D000',
    '3F000',
    '40001',
    '40P01',
    '53300',
    '55P03',
    '58030',
    'XX000'
  ]
  for (const code of [...sqlstates, '57014', '28000', '42P01', '42501', 'CONNECTION_CLOSED', 'QUEUE_TIMEOUT']) {
    t.equal(classify({ code }), 'unavailable', code)
  }
  for (const code of ['42601', '23505', 'P0001']) t.equal(classify({ code }), undefined, code)
  t.equal(classify({ code: '22P02' }), 'value_out_of_range')
  for (const error of [new Error(), { code: 57 }, { code: 'not a code' }, { cause: null }]) {
    t.equal(classify(error), undefined)
  }
})

t.test('what only the operator can end is a sentence with the remedy (issue 16)', async (t) => {
  for (const code of ['28000', '28P01', '3D000', '42501']) t.match(misconfiguration({ code }), 'DATABASE_URL', code)
  for (const code of ['42P01', '3F000']) t.match(misconfiguration({ cause: { code } }), 'npx rowkeeper migrate', code)
  for (const code of ['ECONNREFUSED', '53300', '57P03']) t.equal(misconfiguration({ code }), undefined, code)
  t.equal(misconfiguration(new Error()), undefined)
})

t.test('only what one connection alone refuses is stale, and no fault of ours (issue 19)', async (t) => {
  const result = { code: '0A000', routine: 'RevalidateCachedQuery' }
  const parameter = { code: '42804', routine: 'transformAssignedExpr' }
  for (const error of [result, parameter, { cause: result }]) {
    t.ok(isStale(error))
    t.ok(isStalePlan(error))
  }
  t.equal(classify(result), 'unavailable')
  t.equal(classify(parameter), undefined, 'what is left of it when no attempt is')
  for (const code of ['26000', '42P05', '25P02']) {
    t.ok(isStale({ code }), code)
    t.notOk(isStalePlan({ code }), code)
  }
  // `for update` with `distinct`, types that do not go together, an unknown column, and a proxy that names no routine.
  const routines = { '0A000': ['CheckSelectLocking'], '42804': ['select_common_type'], '42703': ['errorMissingColumn'] }
  for (const [code, [routine]] of Object.entries(routines)) {
    for (const error of [{ code, routine }, { code }, { cause: { code, routine } }]) {
      t.notOk(isStale(error), code)
      t.equal(classify(error), undefined, code)
    }
  }
})

t.test('a write that a read-only server refused is known by its code (issue 19)', async (t) => {
  t.ok(isReadOnly({ code: '25006' }))
  t.ok(isReadOnly({ cause: { code: '25006' } }))
  t.notOk(isReadOnly({ code: '25P02' }))
  t.notOk(isReadOnly(new Error()))
})
