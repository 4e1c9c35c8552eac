import t from 'tap'
import { describeTags, nameSchemas } from '../../../src/http/openapi.ts'

t.test('object schemas with a title become components, wherever they are, and nothing else does', async (t) => {
  const pet = { type: 'object', title: 'Pet', properties: { title: { type: 'string', title: 'A title' } } }
  const example = { type: 'dog', title: 'Rex' }
  const document = {
    info: { title: 'Pets' },
    paths: {
      '/': { one: { ...pet, description: 'One' }, all: { type: 'array', items: pet }, examples: [example, null] }
    },
    components: { securitySchemes: {} }
  }
  const before = structuredClone(document)
  const $ref = '#/components/schemas/Pet'
  t.same(nameSchemas(document), {
    info: { title: 'Pets' },
    paths: { '/': { one: { $ref }, all: { type: 'array', items: { $ref } }, examples: [example, null] } },
    components: { securitySchemes: {}, schemas: { Pet: { type: 'object', properties: pet.properties } } }
  })
  t.same(document, before, 'the schemas that routes validate with stay as they are')
})

t.test('a discriminator is left out, unless a member has that name', async (t) => {
  const [one, other] = ['a', 'b'].map((kind) => ({ type: 'object', properties: { discriminator: { const: kind } } }))
  const described = (...oneOf: unknown[]) => ({
    type: 'object',
    discriminator: { propertyName: 'discriminator' },
    oneOf
  })
  const paths = { '/': [described(one, other), described(one), { discriminator: 'x' }] }
  t.same(nameSchemas({ paths }).paths, {
    '/': [{ type: 'object', oneOf: [one, other] }, one, { discriminator: 'x' }]
  })
})

t.test('two that differ cannot have one name', async (t) => {
  const paths = [
    { type: 'object', title: 'Pet' },
    { type: 'object', title: 'Pet', minProperties: 1 }
  ]
  t.throws(() => nameSchemas({ paths }), /title Pet/)
})

t.test(
  'each tag of a resource is described once, before the others, and a route may have none (issue 18)',
  async (t) => {
    const session = { name: 'session', description: 'Who the caller is' }
    const paths = {
      '/api/bank-accounts': { get: { tags: ['bank-accounts'] }, post: { tags: ['bank-accounts'] } },
      '/api/session': { get: { tags: ['session'] } },
      '/api/own': { get: {} }
    }
    const accounts = { name: 'bank-accounts', description: "The caller's bank accounts" }
    t.same(describeTags({ paths, tags: [session] }), { paths, tags: [accounts, session] })
    t.match(describeTags({ paths: { '/own': paths['/api/own'] } }), { tags: [] })
  }
)
