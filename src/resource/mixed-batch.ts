import { type TSchema, Type } from '@sinclair/typebox'
import type { Declaration } from './declaration.ts'
import type { AnswerFormat, Did, Operation } from './operations.ts'
import type { Context } from './routes/context.ts'
import { type Asked, MAX_OPERATIONS } from './schemas.ts'

/** The resources that are served, by the names of their collections. */
type Resources = ReadonlyMap<string, Context>

/** What a batch on several resources asks for: operations in the order in which they are done. */
export interface MixedBatch {
  operations: ({ resource: string } & Asked)[]
}

/** The schema of an operation or of its result: the name of its resource, and exactly one of these members. */
const oneOf = ({ words }: Declaration, members: Record<string, TSchema>) =>
  Type.Object(
    {
      resource: Type.Literal(words.collection),
      ...Object.fromEntries(Object.entries(members).map(([name, schema]) => [name, Type.Optional(schema)]))
    },
    { additionalProperties: false, minProperties: 2, maxProperties: 2 }
  )

/**
 * The schema of an array whose values each resource has its own schema for. A value that does not fit is told what is
 * wrong with it by the schema of the resource that it names. Nothing fits if no resource is served.
 */
const ofResources = (resources: Resources, schemaOf: (declaration: Declaration) => TSchema) => ({
  type: 'array',
  minItems: 1,
  maxItems: MAX_OPERATIONS,
  // Fastify reads this when it compiles the schemas of the routes: all resources are there then.
  get items() {
    const oneOf = [...resources.values()].map(({ declaration }) => schemaOf(declaration))
    return oneOf.length > 0 && { type: 'object', discriminator: { propertyName: 'resource' }, oneOf }
  }
})

/** Makes the schema of the body. */
export const mixedBatchOf = (resources: Resources) =>
  Type.Unsafe<MixedBatch>({
    type: 'object',
    additionalProperties: false,
    required: ['operations'],
    properties: {
      operations: ofResources(resources, (declaration) => oneOf(declaration, declaration.schemas.operations))
    }
  })

const resultOf = (declaration: Declaration) => {
  const { item } = declaration.schemas
  return oneOf(declaration, { created: item, updated: item, deleted: Type.String({ format: 'uuid' }) })
}

/** Makes the schema of the answer. */
export const mixedResultOf = (resources: Resources) => ({
  type: 'object',
  additionalProperties: false,
  required: ['results'],
  properties: { results: ofResources(resources, resultOf) }
})

/** The resources that a body names. It may not fit the schema. */
export function namedIn(resources: Resources, body: unknown): Context[] {
  const { operations } = { ...(body as { operations?: unknown }) }
  if (!Array.isArray(operations)) return []
  return operations.flatMap((one: { resource?: unknown } | null) => resources.get(one?.resource as string) ?? [])
}

const valuesOf = (asked: Asked) => ('create' in asked ? '/create' : 'update' in asked ? '/update/change' : '')

/** The operations of a body that fits the schema. */
export const operationsIn = (resources: Resources, { operations }: MixedBatch): Operation[] =>
  operations.map((asked, i) => {
    const pointer = `/operations/${i}`
    return { ...asked, resource: resources.get(asked.resource) as Context, pointer, values: pointer + valuesOf(asked) }
  })

/** The answer: what was done, in the order of the operations. */
export const formatOf = (resources: Resources): AnswerFormat => ({
  write(done) {
    const results = done.map(
      ({ resource, how, json }) => `{"resource":"${resource.declaration.words.collection}","${how}":${json}}`
    )
    return `{"results":[${results.join()}]}`
  },
  read(json) {
    const { results } = JSON.parse(json) as { results: ({ resource: string } & Record<string, string | Did>)[] }
    return results.map(({ resource, ...done }) => {
      const [[how, item]] = Object.entries(done) as [[Did['how'], string | Did]]
      return { resource: resources.get(resource) as Context, how, id: typeof item === 'string' ? item : item.id }
    })
  }
})
