import t from 'tap'
import { nameSchemas } from '../../../src/http/openapi.ts'

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

t.test('two that differ cannot have one name', async (t) => {
  const paths = [
    { type: 'object', title: 'Pet' },
    { type: 'object', title: 'Pet', minProperties: 1 }
  ]
  t.throws(() => nameSchemas({ paths }), /title Pet/)
})
