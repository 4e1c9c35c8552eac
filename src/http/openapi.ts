import { isDeepStrictEqual } from 'node:util'
import { type ProblemCode, ProblemSchema, problemList, problemMembers } from './problems.ts'

/** Of JSON that PostgreSQL wrote, which Fastify takes for plain text. */
export const JSON_TYPE = 'application/json; charset=utf-8'

const PROBLEM = 'application/problem+json'

/** What a route documents of its errors: a problem document a status, with the details that it may have. */
export function problems(...codes: ProblemCode[]) {
  const responses: Record<number, { description: string; content: { [PROBLEM]: object } }> = {}
  for (const [code, status, detail] of problemList) {
    if (!codes.includes(code)) continue
    const before = responses[status]
    responses[status] = {
      description: before === undefined ? detail : `${before.description} · ${detail}`,
      content: before?.content ?? { [PROBLEM]: { schema: ProblemSchema, example: problemMembers(code) } }
    }
  }
  return responses
}

/** The 401s of every route that needs a verified caller. */
export const unauthorized = problemList.filter(([, status]) => status === 401).map(([code]) => code)

/**
 * The document with every object schema that has a `title` moved to its components, under that name: clients that are
 * made from it have one type by that name, and not as many as there are places. The `description` that a place gives it
 * goes.
 */
export function nameSchemas<T extends { paths?: unknown; components?: object }>(document: T): T {
  const schemas: Record<string, unknown> = {}
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk)
    if (typeof value !== 'object' || value === null) return value
    const copy: Record<string, unknown> = Object.fromEntries(
      Object.entries(value).map(([key, one]) => [key, walk(one)])
    )
    const { title, description, ...schema } = copy
    // Both, since examples may have a member of either name.
    if (schema.type !== 'object' || typeof title !== 'string') return copy
    if (title in schemas && !isDeepStrictEqual(schemas[title], schema)) {
      throw new Error(`Two schemas that differ have the title ${title}: give one another, or none`)
    }
    schemas[title] = schema
    return { $ref: `#/components/schemas/${title}` }
  }
  return { ...document, paths: walk(document.paths), components: { ...document.components, schemas } }
}
