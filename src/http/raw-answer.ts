import { STATUS_CODES } from 'node:http'
import { PROBLEM_JSON, type ProblemCode, preparedProblem } from './problems.ts'

/** Returns the bytes of a whole HTTP/1.1 answer, for a request that Node's parser refused before there was a reply. */
export function rawProblem(code: ProblemCode, requestId: string): string {
  const { status, body } = preparedProblem(code)
  return (
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n` +
    `Content-Type: ${PROBLEM_JSON}\r\nContent-Length: ${body.length}\r\n` +
    `Cache-Control: no-store\r\nDate: ${new Date().toUTCString()}\r\nX-Request-Id: ${requestId}\r\n` +
    `X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n${body.toString()}`
  )
}
