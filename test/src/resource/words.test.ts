import t from 'tap'
import { isName, wordsOf } from '../../../src/resource/words.ts'

t.test('a resource is called by the name of one item and of its table (issue 18)', async (t) => {
  t.same(wordsOf('bankAccount', 'bank_accounts'), {
    name: 'bankAccount',
    singular: 'bank account',
    indefinite: 'a bank account',
    title: 'BankAccount',
    capitalized: 'Bank account',
    plural: 'bank accounts',
    pluralTitle: 'BankAccounts',
    collection: 'bank-accounts'
  })
  t.match(wordsOf('entry', 'entries'), {
    indefinite: 'an entry',
    title: 'Entry',
    plural: 'entries',
    collection: 'entries'
  })
})

t.test('a name is in camel case, and no object has it by itself (issue 18)', async (t) => {
  for (const name of ['a', 'dueAt', 'line2', 'owner', 'key', 'limit', 'ids', 'ifMatch', 'cursor'])
    t.ok(isName(name), name)
  for (const name of ['', 'A', '2nd', 'due_at', 'due-at', 'due at', 'é', 'constructor', 'toString', '__proto__']) {
    t.notOk(isName(name), name)
  }
})
