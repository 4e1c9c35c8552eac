import type { App } from '../../http/application.ts'
import { formatOf, operationsIn } from '../batch.ts'
import { CREATE_ERRORS, KEY_ERRORS, operation, Replayed } from '../document.ts'
import { IdempotencyKey } from '../idempotency.ts'
import { MAX_OPERATIONS } from '../schemas.ts'
import type { Context } from './context.ts'
import { answerOperations, BODY_LIMIT_BYTES } from './operations.ts'

/** POST of many operations at once. */
export function batchRoute(app: App, context: Context): void {
  const { declaration, path, notFound, idempotent, write } = context
  const { words, schemas } = declaration
  const format = formatOf(context)
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
          errors: [notFound, 'precondition_failed', 'still_referenced', ...CREATE_ERRORS, ...KEY_ERRORS]
        }),
        headers: IdempotencyKey,
        body: schemas.batch
      }
    },
    async (request, reply) => {
      const operations = operationsIn(request.body, context)
      return answerOperations(app, request, reply, { route: `POST ${path}/batch`, operations, format, idempotent })
    }
  )
}
