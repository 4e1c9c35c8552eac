import type { Transaction } from '../../db/transaction.ts'
import type { App } from '../../http/application.ts'
import { JSON_TYPE } from '../../http/openapi.ts'
import { Problem, sendProblem } from '../../http/problems.ts'
import { batchFromOutline, batchJson, batchOutline, checkSize, runBatch } from '../batch.ts'
import { BODY_ERRORS, KEY_ERRORS, operation, Replayed } from '../document.ts'
import { IdempotencyKey } from '../idempotency.ts'
import { MAX_OPERATIONS } from '../schemas.ts'
import type { Context } from './context.ts'

/** Fits a hundred items, most of which are short. */
const BODY_LIMIT_BYTES = 1024 * 1024

/** POST of many operations at once. */
export function batchRoute(app: App, context: Context): void {
  const { declaration, path, notFound, store, size, idempotent, write } = context
  const { words, schemas } = declaration
  const done = {
    ...schemas.batchResult,
    description: 'All of it is done',
    headers: { 'Idempotency-Replayed': Replayed }
  }
  app.post(
    '/batch',
    {
      onRequest: write,
      bodyLimit: BODY_LIMIT_BYTES,
      schema: {
        ...operation(words, 'write', {
          operationId: `batch${words.pluralTitle}`,
          summary: `Create, update and delete up to ${MAX_OPERATIONS} ${words.plural}: all of it, or nothing`,
          success: { 200: done },
          errors: [notFound, 'precondition_failed', ...BODY_ERRORS, ...KEY_ERRORS]
        }),
        headers: IdempotencyKey,
        body: schemas.batch
      }
    },
    async (request, reply) => {
      const { user, body, deadline } = request
      checkSize(body)
      const key = request.headers['idempotency-key']
      reply.type(JSON_TYPE)
      const fits = await size.fits(user.sub, body)
      const run = async (transaction: Transaction) => {
        if (!fits) throw new Problem('quota_exceeded')
        return runBatch(store, user.sub, body, transaction, notFound)
      }
      if (key === undefined) {
        const result = await app.transaction(user.sub, run, { within: deadline })
        if (body.delete !== undefined) size.freed(user.sub)
        return reply.send(batchJson(result))
      }
      const work = async (transaction: Transaction) => {
        const result = await run(transaction)
        return { json: batchJson(result), location: null, outline: batchOutline(result) }
      }
      const answer = await idempotent(user.sub, key, [`POST ${path}/batch`, body], work, {
        within: deadline,
        rebuild: (outline, transaction) => batchFromOutline(store, user.sub, outline, transaction)
      })
      if (typeof answer === 'string') return sendProblem(reply, answer)
      if (body.delete !== undefined) size.freed(user.sub)
      if (answer.replayed) reply.header('idempotency-replayed', 'true')
      return reply.send(answer.json)
    }
  )
}
