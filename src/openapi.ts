import { type ProblemCode, ProblemSchema, problemList } from './errors.ts'

/** What a route documents of its errors: a problem document a status, with the details that it may have. */
export function problems(...codes: ProblemCode[]) {
  const responses: Record<number, { description: string; content: Record<string, { schema: typeof ProblemSchema }> }> =
    {}
  for (const [code, status, detail] of problemList) {
    if (!codes.includes(code)) continue
    const before = responses[status]
    responses[status] = {
      description: before === undefined ? detail : `${before.description} · ${detail}`,
      content: { 'application/problem+json': { schema: ProblemSchema } }
    }
  }
  return responses
}

/** The 401s of every route that needs a verified caller. */
export const unauthorized = problemList.filter(([, status]) => status === 401).map(([code]) => code)
