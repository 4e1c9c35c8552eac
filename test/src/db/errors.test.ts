import t from 'tap'
import { classify } from '../../../src/db/errors.ts'
import { misconfiguration } from '../../../src/db/misconfiguration.ts'

t.test('what a timeout of the operator ends is a 503, not a 500 (issue 16)', async (t) => {
  // idle_in_transaction_session_timeout, transaction_timeout, lock_timeout, statement_timeout, idle_session_timeout.
  for (const code of ['25P03', '25P04', '55P03', '57014', '57P05']) t.equal(classify({ code }), 'unavailable', code)
})

t.test('an error is classified by the code that the driver gave it, if any', async (t) => {
  t.equal(classify(Object.assign(new Error(), { cause: { code: '57P01' } })), 'unavailable')
  // One at least of each class, and of each code alone.
  const sqlstates = ['08006', '25006', '25P03', '25P04', '28P01', '3D000', '3F000', '40001', '40P01', '53300', '55P03']
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
  for (const code of ['42P01', '3F000']) t.match(misconfiguration({ cause: { code } }), 'npm run db:migrate', code)
  for (const code of ['ECONNREFUSED', '53300', '57P03']) t.equal(misconfiguration({ code }), undefined, code)
  t.equal(misconfiguration(new Error()), undefined)
})
