import type { FastifyReply } from 'fastify'
import type { User } from '../../auth/user.ts'
import type { Transaction } from '../../db/transaction.ts'
import type { App } from '../../http/application.ts'
import type { Deadline } from '../../http/deadline.ts'
import { JSON_TYPE } from '../../http/openapi.ts'
import { Problem, sendProblem } from '../../http/problems.ts'
import type { Idempotent } from '../idempotency.ts'
import { type AnswerFormat, asTheyAre, type Done, haveRoom, type Operation, runOperations } from '../operations.ts'

/** Fits a hundred items, most of which are short. */
export const BODY_LIMIT_BYTES = 1024 * 1024

/** What of a request is used here. */
interface Request {
  user: User
  body: unknown
  deadline: Deadline
  headers: { 'idempotency-key'?: string }
}

interface Options {
  /** What an `Idempotency-Key` is for, besides the body: `POST /api/tasks/batch`. */
  route: string
  operations: readonly Operation[]
  format: AnswerFormat
  idempotent: Idempotent
}

/** The same with the ids of the items alone, as an answer that is too large to keep is kept. */
const outlined = (done: readonly Done[]) =>
  done.map((one) => (one.how === 'deleted' ? one : { ...one, json: JSON.stringify({ id: one.id }) }))

/** Does the operations of a request in one transaction, once for each `Idempotency-Key`, and answers what they did. */
export async function answerOperations(
  app: App,
  { user, body, deadline, headers }: Request,
  reply: FastifyReply,
  { route, operations, format, idempotent }: Options
): Promise<FastifyReply> {
  const key = headers['idempotency-key']
  const room = await haveRoom(operations, user.sub)
  const run = async (transaction: Transaction) => {
    if (!room) throw new Problem('quota_exceeded')
    return runOperations(operations, user.sub, transaction)
  }
  const tellFreed = () => operations.find((one) => 'delete' in one)?.resource.size.freed(user.sub)
  reply.type(JSON_TYPE)
  if (key === undefined) {
    const done = await app.transaction(user.sub, run, { within: deadline })
    tellFreed()
    return reply.send(format.write(done))
  }
  const work = async (transaction: Transaction) => {
    const done = await run(transaction)
    return { json: format.write(done), location: null, outline: format.write(outlined(done)) }
  }
  const rebuild = async (outline: string, transaction: Transaction) =>
    format.write(await asTheyAre(format.read(outline), user.sub, transaction))
  const answer = await idempotent(user.sub, key, [route, body], work, { within: deadline, rebuild })
  if (typeof answer === 'string') return sendProblem(reply, answer)
  tellFreed()
  if (answer.replayed) reply.header('idempotency-replayed', 'true')
  return reply.send(answer.json)
}
