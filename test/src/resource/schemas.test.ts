import type { TSchema } from '@sinclair/typebox'
import t from 'tap'
import { validatorCompiler } from '../../../src/http/validation.ts'
import samples from '../../support/samples.ts'

const { create, change } = samples.declaration.schemas

/** Whether a body fits a schema of the samples. */
function fits(schema: TSchema, body: object): boolean {
  const validate = validatorCompiler({ schema, method: 'POST', url: '/', httpPart: 'body' })
  return validate(body) as boolean
}

t.test('a member is set by whom its declaration says', async (t) => {
  const label = 'a sample'
  t.ok(fits(create, { label }))
  t.ok(fits(change, { label }))
  t.ok(fits(create, { label, origin: 'app' }))
  t.notOk(fits(change, { label, origin: 'app' }), 'a create only')
  t.notOk(fits(create, { label, score: 1 }), 'the server only')
  t.notOk(fits(change, { label, score: 1 }), 'the server only')
})

t.test('a body names no owner, no column that is no member, and nothing that the server gives', async (t) => {
  for (const name of ['userId', 'user_id', 'internal', 'id', 'createdAt', 'updatedAt', 'version']) {
    t.notOk(fits(create, { label: 'x', [name]: 'x' }), `create: ${name}`)
    t.notOk(fits(change, { label: 'x', [name]: 'x' }), `change: ${name}`)
  }
  t.notOk(fits(change, {}), 'an update changes something')
})
