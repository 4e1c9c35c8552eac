import { isDeepStrictEqual } from 'node:util'
import { listProblems, type ProblemCode, ProblemSchema, problemMembers } from './problems.ts'

/** The content type of JSON that PostgreSQL made. Without it Fastify would send such a string as plain text. */
export const JSON_TYPE = 'application/json; charset=utf-8'

const PROBLEM = 'application/problem+json'

/** Documents the errors of a route: one problem document for each status, with its possible details. */
export function problems(...codes: ProblemCode[]) {
  const responses: Record<number, { description: string; content: { [PROBLEM]: object } }> = {}
  for (const [code, status, detail] of listProblems()) {
    if (!codes.includes(code)) continue
    const existing = responses[status]
    responses[status] = {
      description: existing === undefined ? detail : `${existing.description} · ${detail}`,
      content: existing?.content ?? { [PROBLEM]: { schema: ProblemSchema, example: problemMembers(code) } }
    }
  }
  return responses
}

/** The 401s of every route that needs a verified caller. */
export const unauthorized = listProblems()
  .filter(([, status]) => status === 401)
  .map(([code]) => code)

/** Keywords of our own (`src/http/validation.ts`): what OpenAPI does not know begins with `x-`. */
const OWN_KEYWORDS = new Set(['maxBytes', 'maxDepth'])

/**
 * A schema without its `discriminator`, which in OpenAPI selects among schemas by their names. `oneOf` says the same.
 * One schema needs no `oneOf`.
 */
function undiscriminated(value: object): object {
  if (!('discriminator' in value && 'oneOf' in value && Array.isArray(value.oneOf))) return value
  const { discriminator: _, ...schema } = value
  return value.oneOf.length === 1 ? value.oneOf[0] : schema
}

/**
 * Moves every object schema with a `title` to the components of the document, under that name. A client that is
 * generated from the document then has one type of that name, instead of one for each place. The `description` of a
 * place is dropped.
 */
export function nameSchemas<T extends { paths?: unknown; components?: object }>(document: T): T {
  const schemas: Record<string, unknown> = {}
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk)
    if (typeof value !== 'object' || value === null) return value
    const copy: Record<string, unknown> = Object.fromEntries(
      Object.entries(undiscriminated(value)).map(([key, member]) =>
        OWN_KEYWORDS.has(key) && typeof member === 'number' ? [`x-${key}`, member] : [key, walk(member)]
      )
    )
    const { title, description, ...schema } = copy
    // Check both, since an example may have a member that is named `type` or `title`.
    if (schema.type !== 'object' || typeof title !== 'string') return copy
    if (title in schemas && !isDeepStrictEqual(schemas[title], schema)) {
      throw new Error(`Two different schemas have the title ${title}: give one of them another title, or none`)
    }
    schemas[title] = schema
    return { $ref: `#/components/schemas/${title}` }
  }
  return { ...document, paths: walk(document.paths), components: { ...document.components, schemas } }
}

/**
 * Describes the tags of the resources, before those that the document describes itself.
 *
 * @param document as @fastify/swagger makes it of the routes
 */
export function describeTags<T extends { paths?: unknown; tags?: { name: string }[] }>(document: T): T {
  const described = document.tags ?? []
  const operations = Object.values(document.paths as Record<string, Record<string, { tags?: string[] }>>)
    .flatMap((item) => Object.values(item))
    .flatMap(({ tags = [] }) => tags)
  const others = [...new Set(operations)].filter((tag) => described.every(({ name }) => name !== tag))
  const tags = others.map((name) => ({ name, description: `The caller's ${name.replaceAll('-', ' ')}` }))
  return { ...document, tags: [...tags, ...described] }
}
