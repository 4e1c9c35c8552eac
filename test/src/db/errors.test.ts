import t from 'tap'
import { classify } from '../../../src/db/errors.ts'

t.test('what a timeout of the operator ends is a 503, not a 500 (issue 16)', async (t) => {
  // idle_in_transaction_session_timeout, transaction_timeout, lock_timeout, statement_timeout, idle_session_timeout.
  for (const code of ['25P03', '25P04', '55P03', '57014', '57P05']) t.equal(classify({ code }), 'unavailable', code)
})

t.test('an error is classified by the code that the driver gave it, if any', async (t) => {
  t.equal(classify(Object.assign(new Error(), { cause: { code: '57P01' } })), 'unavailable')
  for (const code of ['3D000', '28000', '42P01', '42501', '53300', '25006', 'CONNECTION_CLOSED']) {
    t.equal(classify({ code }), 'unavailable', code)
  }
  for (const code of ['42601', '23505', 'P0001']) t.equal(classify({ code }), undefined, code)
  t.equal(classify({ code: '22P02' }), 'value_out_of_range')
  for (const error of [new Error(), { code: 57 }, { code: 'not a code' }, { cause: null }]) {
    t.equal(classify(error), undefined)
  }
})
