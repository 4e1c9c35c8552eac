import type { preValidationHookHandler } from 'fastify'
import { grants } from '../../../src/auth/user.ts'
import type { App } from '../../../src/http/application.ts'
import { problems } from '../../../src/http/openapi.ts'
import { sendProblem } from '../../../src/http/problems.ts'
import { CREATE_ERRORS, KEY_ERRORS, operationOf, Replayed, scopeOf } from '../../../src/resource/document.ts'
import { IdempotencyKey, idempotency } from '../../../src/resource/idempotency.ts'
import { formatOf, mixedBatchOf, mixedResultOf, namedIn, operationsIn } from '../../../src/resource/mixed-batch.ts'
import { answerOperations, BODY_LIMIT_BYTES } from '../../../src/resource/routes/operations.ts'
import { MAX_OPERATIONS } from '../../../src/resource/schemas.ts'

/** Operations on the caller's items of any resources, in one transaction. */
export default async function batch(app: App): Promise<void> {
  const { resources } = app
  const [idempotent, format] = [idempotency(app), formatOf(resources)]
  const done = {
    ...mixedResultOf(resources),
    description: 'All of it is done, in the order of the operations',
    headers: { 'Idempotency-Replayed': Replayed }
  }
  const { response, ...described } = operationOf('batch', [], {
    operationId: 'batch',
    summary: `Up to ${MAX_OPERATIONS} operations on your items of any resources: all of it, or nothing`,
    success: { 200: done },
    errors: ['precondition_failed', 'still_referenced', ...CREATE_ERRORS, ...KEY_ERRORS]
  })

  // As for the batch of one resource, a token without the scope learns nothing of what is wrong with the values.
  const requireScopes: preValidationHookHandler = ({ user, body }, reply, done) => {
    const scopes = namedIn(resources, body).map(({ declaration }) => scopeOf(declaration.words.collection, 'write'))
    if (scopes.every((scope) => grants(user, scope))) done()
    else sendProblem(reply, 'insufficient_scope')
  }

  app.post(
    '/',
    {
      preValidation: requireScopes,
      bodyLimit: BODY_LIMIT_BYTES,
      schema: {
        ...described,
        description: 'The token needs `<resource>:write` for each resource that an operation names.',
        headers: IdempotencyKey,
        body: mixedBatchOf(resources),
        // Fastify reads the 404 and `hide` when all resources are there.
        response: {
          ...response,
          get 404() {
            const codes = [...resources.values()].map(({ notFound }) => notFound)
            return problems(...(codes.length > 0 ? codes : (['not_found'] as const)))[404]
          }
        },
        get hide() {
          return resources.size === 0
        }
      }
    },
    async (request, reply) => {
      const operations = operationsIn(resources, request.body)
      return answerOperations(app, request, reply, { route: `POST ${app.prefix}`, operations, format, idempotent })
    }
  )
}
