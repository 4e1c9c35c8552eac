import { Type } from '@sinclair/typebox'
import { doublePrecision, integer, json, text, uuid } from 'drizzle-orm/pg-core'
import fc from 'fast-check'
import t from 'tap'
import { ownedTable } from '../../../src/db/tables.ts'
import { equals, oneOf, resource } from '../../../src/resource/resource.ts'
import { bodiesOf, queriesOf } from '../../contract/values.ts'

const narrow = ownedTable('narrow', {
  long: text('long').notNull(),
  zip: text('zip').notNull(),
  mail: text('mail').notNull(),
  ref: uuid('ref').notNull(),
  step: integer('step').notNull(),
  ratio: doublePrecision('ratio').notNull(),
  picks: integer('picks').array().notNull(),
  body: json('body').notNull()
})

t.test('issue 18: the contract finds values for members whose schemas are narrow', async (t) => {
  const { declaration } = resource(narrow, {
    name: 'narrow',
    members: {
      long: Type.String({ minLength: 190, maxLength: 5000 }),
      zip: Type.String({ minLength: 5, maxLength: 5, pattern: '^\\d+$' }),
      mail: Type.String({ maxLength: 50, format: 'email', examples: ['a@example.org'] }),
      ref: Type.String({ pattern: '^0' }),
      step: Type.Integer({ exclusiveMinimum: 30, exclusiveMaximum: 80, multipleOf: 40 }),
      ratio: Type.Number({ exclusiveMinimum: 0.2, exclusiveMaximum: 0.3 }),
      picks: Type.Array(Type.Integer({ minimum: 1, maximum: 3 }), { minItems: 3, maxItems: 3, uniqueItems: true }),
      body: Type.Object(
        { tags: Type.Array(Type.String({ pattern: '^[a-z]{1,5}$' }), { minItems: 1, maxItems: 4, uniqueItems: true }) },
        { maxBytes: 400, maxDepth: 3, additionalProperties: false }
      )
    },
    filters: { mail: equals('mail'), mails: oneOf('mail'), step: equals('step') }
  })
  for (const body of fc.sample(bodiesOf(declaration).creates, { numRuns: 20, seed: 1 })) t.equal(body.step, 40)
  t.equal(fc.sample(queriesOf(declaration), { numRuns: 20, seed: 1 }).length, 20)
})

t.test('issue 18: the contract says so when it finds none, instead of going on for ever', async (t) => {
  const members = { mail: Type.String({ maxLength: 50, format: 'email' }) }
  const table = ownedTable('mails', { mail: text('mail') })
  const { declaration } = resource(table, { name: 'mail', members })
  t.throws(() => bodiesOf(declaration), /give this schema some examples/)
})
