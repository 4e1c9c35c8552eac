import { Problem } from '../http/problems.ts'

/** Makes the problem of a part of the body from the problem of its value. The issues of that point into the value. */
export function problemAt(pointer: string, { problem, message, issues }: Problem): Problem {
  const ofValue = issues ?? [{ in: 'body', pointer: '', detail: message }]
  return new Problem(
    problem,
    ofValue.map((issue) => ({ ...issue, pointer: pointer + issue.pointer })),
    message
  )
}

/**
 * Waits for work on the value that the body has at `pointer`.
 *
 * @throws what the work throws; the issues of a problem point into the body
 */
export async function pointTo<T>(pointer: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw error instanceof Problem ? problemAt(pointer, error) : error
  }
}
