import type { Transaction } from '../../../../src/db/transaction.ts'
import type { App } from '../../../../src/http/application.ts'
import { JSON_TYPE } from '../../../../src/http/openapi.ts'
import { Problem, sendProblem } from '../../../../src/http/problems.ts'
import { IdempotencyKey, idempotency } from '../../../../src/resource/idempotency.ts'
import { batchFromOutline, batchJson, batchOutline, checkSize, runBatch } from '../../../../src/tasks/batch.ts'
import { BODY_ERRORS, KEY_ERRORS, operation, Replayed } from '../../../../src/tasks/document.ts'
import { hasRoom } from '../../../../src/tasks/room.ts'
import { TaskBatch, TaskBatchResult } from '../../../../src/tasks/schemas.ts'
import { taskStore } from '../../../../src/tasks/store.ts'

/** Fits a hundred tasks, most of which are short. */
const BODY_LIMIT_BYTES = 1024 * 1024

/** Many operations on the caller's tasks at once. */
export default async function batch(app: App): Promise<void> {
  const store = taskStore(app.owned)
  const once = idempotency(app)

  const done = { ...TaskBatchResult, description: 'All of it is done', headers: { 'Idempotency-Replayed': Replayed } }
  app.post(
    '/',
    {
      onRequest: app.requireScope('tasks:write'),
      bodyLimit: BODY_LIMIT_BYTES,
      schema: {
        ...operation(
          'batchTasks',
          'Create, update and delete up to 100 tasks: all of it, or nothing',
          'tasks:write',
          { 200: done },
          'task_not_found',
          'precondition_failed',
          ...BODY_ERRORS,
          ...KEY_ERRORS
        ),
        headers: IdempotencyKey,
        body: TaskBatch
      }
    },
    async (request, reply) => {
      const { user, body, deadline } = request
      checkSize(body)
      const key = request.headers['idempotency-key']
      reply.type(JSON_TYPE)
      const room = await hasRoom(app.storage, store, user.sub, body)
      const run = async (transaction: Transaction) => {
        if (!room) throw new Problem('quota_exceeded')
        return runBatch(store, user.sub, body, transaction)
      }
      if (key === undefined) {
        const result = await app.transaction(user.sub, run, { within: deadline })
        if (body.delete !== undefined) app.storage.freed(user.sub)
        return reply.send(batchJson(result))
      }
      const asked = ['POST /api/tasks/batch', body]
      const earn = async (transaction: Transaction) => {
        const result = await run(transaction)
        return { json: batchJson(result), location: null, outline: batchOutline(result) }
      }
      const answer = await once(user.sub, key, asked, earn, {
        within: deadline,
        rebuild: (outline, transaction) => batchFromOutline(store, user.sub, outline, transaction)
      })
      if (typeof answer === 'string') return sendProblem(reply, answer)
      if (body.delete !== undefined) app.storage.freed(user.sub)
      if (answer.replayed) reply.header('idempotency-replayed', 'true')
      return reply.send(answer.json)
    }
  )
}
