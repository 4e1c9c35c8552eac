import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Owner } from '../../../src/auth/user.ts'
import type { Transaction } from '../../../src/db/transaction.ts'
import type { App } from '../../../src/http/application.ts'
import { isAnother, isUnchanged, tagOf } from '../../../src/http/entity-tag.ts'
import { JSON_TYPE } from '../../../src/http/openapi.ts'
import { UNCONDITIONAL, type VersionCondition, versionCondition } from '../../../src/http/preconditions.ts'
import { Problem, sendProblem } from '../../../src/http/problems.ts'
import { UUID_PATTERN } from '../../../src/http/uuid.ts'
import { schemaErrorFormatter } from '../../../src/http/validation-errors.ts'
import { IdempotencyKey, idempotency } from '../../../src/resource/idempotency.ts'
import { pageLinks } from '../../../src/tasks/cursor.ts'
import { BODY_ERRORS, ETag, KEY_ERRORS, operation, Replayed } from '../../../src/tasks/document.ts'
import { hasRoom } from '../../../src/tasks/room.ts'
import { NewTask, Task, TaskChange, TaskQuery } from '../../../src/tasks/schemas.ts'
import { type StoredTask, taskStore } from '../../../src/tasks/store.ts'

const NOT_FOUND = 'task_not_found'

const Params = Type.Object({
  id: Type.String({ pattern: UUID_PATTERN, description: 'A UUID', examples: ['019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708'] })
})

const ifMatch = Type.Optional(
  Type.String({ description: 'The `ETag` of what you have seen: a 412 if it has changed since', examples: ['"1"'] })
)
const ifNoneMatch = Type.Optional(
  Type.String({ description: 'The `ETag` of what you have: a 304 if it is still so', examples: ['"1"'] })
)
const ReadConditions = Type.Object({ 'if-match': ifMatch, 'if-none-match': ifNoneMatch })
const WriteConditions = Type.Object({ 'if-match': ifMatch })

const Location = { type: 'string', description: 'Where the task is from now on' }
const Link = {
  type: 'string',
  description: 'The next page while there is one, `rel="next"`, and the first, `rel="first"` (RFC 8288)'
}
const TotalCount = { type: 'string', description: 'How many tasks there are in all, with `count=exact`' }

const Deleted = Type.Object({ detail: Type.Literal('Task deleted') }, { additionalProperties: false })

const tagOfTask = ({ version }: StoredTask) => `"${version}"`

const locationOf = ({ id }: StoredTask) => `/api/tasks/${id}`

const sendTask = (reply: FastifyReply, task: StoredTask) =>
  reply.header('etag', tagOfTask(task)).type(JSON_TYPE).send(task.json)

/** Answers a GET or HEAD: what `etag` names, that the client has it, or that it is not what the client asks for. */
const sendUnlessKnown = (request: FastifyRequest, reply: FastifyReply, etag: string, json: string | Buffer) => {
  reply.header('etag', etag)
  if (isAnother(request.headers, etag)) return sendProblem(reply, 'precondition_failed')
  if (isUnchanged(request.headers, etag)) {
    reply.code(304)
    // Fastify would give a HEAD without a body the length 0. It is that of the 200, or absent (RFC 9110 section 8.6).
    if (request.method !== 'HEAD') return reply.send()
  }
  return reply.type(JSON_TYPE).send(json)
}

/** The caller's tasks. Each handler passes the verified `sub`, and nothing else, as the owner. */
export default async function tasks(app: App): Promise<void> {
  const store = taskStore(app.owned)
  const once = idempotency(app)
  const read = app.requireScope('tasks:read')
  const write = app.requireScope('tasks:write')
  app.setSchemaErrorFormatter(schemaErrorFormatter(NOT_FOUND))

  const same = { type: 'null', description: 'What you have is still so', headers: { ETag } }
  const page = {
    ...Type.Array(Task, { maxItems: 100 }),
    description: 'A page of tasks',
    headers: { ETag, Link, 'X-Total-Count': TotalCount }
  }
  app.get(
    '/',
    {
      onRequest: read,
      schema: {
        ...operation(
          'listTasks',
          'List your tasks, newest first',
          'tasks:read',
          { 200: page, 304: same },
          'validation_failed',
          'precondition_failed'
        ),
        headers: ReadConditions,
        querystring: TaskQuery
      }
    },
    async (request, reply) => {
      const { user, query, deadline } = request
      const { json, next } = await store.list(user.sub, query, deadline)
      reply.header('link', pageLinks('/api/tasks', query, next))
      if (query.count === 'exact') reply.header('x-total-count', await store.count(user.sub, query, deadline))
      return sendUnlessKnown(request, reply, tagOf(json), json)
    }
  )

  const created = {
    ...Task,
    description: 'The new task',
    headers: { ETag, Location, 'Idempotency-Replayed': Replayed }
  }
  app.post(
    '/',
    {
      onRequest: write,
      schema: {
        ...operation('createTask', 'Create a task', 'tasks:write', { 201: created }, ...BODY_ERRORS, ...KEY_ERRORS),
        headers: IdempotencyKey,
        body: NewTask
      }
    },
    async (request, reply) => {
      const { user, body, deadline } = request
      const key = request.headers['idempotency-key']
      const room = await hasRoom(app.storage, store, user.sub, { create: [body] })
      if (key === undefined) {
        if (!room) return sendProblem(reply, 'quota_exceeded')
        const task = await store.create(user.sub, body, deadline)
        return sendTask(reply.code(201).header('location', locationOf(task)), task)
      }
      const create = async (transaction: Transaction) => {
        if (!room) throw new Problem('quota_exceeded')
        const task = await store.create(user.sub, body, transaction)
        return { json: task.json, location: locationOf(task) }
      }
      const answer = await once(user.sub, key, ['POST /api/tasks', body], create, { within: deadline })
      if (typeof answer === 'string') return sendProblem(reply, answer)
      if (answer.replayed) reply.header('idempotency-replayed', 'true')
      // A new task is of version 1.
      return reply.code(201).header('location', answer.location).header('etag', '"1"').type(JSON_TYPE).send(answer.json)
    }
  )

  const found = { ...Task, description: 'The task', headers: { ETag } }
  app.get(
    '/:id',
    {
      onRequest: read,
      schema: {
        ...operation(
          'getTask',
          'Get one of your tasks',
          'tasks:read',
          { 200: found, 304: same },
          NOT_FOUND,
          'precondition_failed'
        ),
        headers: ReadConditions,
        params: Params
      }
    },
    async (request, reply) => {
      const { user, params, deadline } = request
      const task = await store.get(user.sub, params.id, deadline)
      if (task === undefined) return sendProblem(reply, NOT_FOUND)
      return sendUnlessKnown(request, reply, tagOfTask(task), task.json)
    }
  )

  /**
   * Answers a write that found nothing to change: the task is not there, or not as the client has it (RFC 9110 section
   * 13.2.1).
   */
  const refuse = async (owner: Owner, id: string, condition: VersionCondition, reply: FastifyReply) => {
    const task = condition === UNCONDITIONAL ? undefined : await store.get(owner, id, reply.request.deadline)
    if (task === undefined) return sendProblem(reply, NOT_FOUND)
    return sendProblem(reply.header('etag', tagOfTask(task)), 'precondition_failed')
  }

  for (const method of ['PUT', 'PATCH'] as const) {
    app.route({
      method,
      url: '/:id',
      onRequest: write,
      schema: {
        ...operation(
          method === 'PUT' ? 'updateTask' : 'patchTask',
          'Change the members that you send; the others keep their value',
          'tasks:write',
          { 200: found },
          NOT_FOUND,
          'precondition_failed',
          ...BODY_ERRORS
        ),
        ...(method === 'PATCH' ? { consumes: ['application/json', 'application/merge-patch+json'] } : {}),
        headers: WriteConditions,
        params: Params,
        body: TaskChange
      },
      handler: async (request, reply) => {
        const { user, params, body, deadline } = request
        const condition = versionCondition(request.headers)
        const update = [{ id: params.id, change: body }]
        if (!(await hasRoom(app.storage, store, user.sub, { update }))) return sendProblem(reply, 'quota_exceeded')
        const task = await store.update(user.sub, params.id, body, condition, deadline)
        return task === undefined ? refuse(user.sub, params.id, condition, reply) : sendTask(reply, task)
      }
    })
  }

  const deleted = { ...Deleted, description: 'The task is gone' }
  app.delete(
    '/:id',
    {
      onRequest: write,
      schema: {
        ...operation(
          'deleteTask',
          'Delete one of your tasks',
          'tasks:write',
          { 200: deleted },
          NOT_FOUND,
          'precondition_failed',
          'invalid_json',
          'body_too_large',
          'unsupported_media_type'
        ),
        headers: WriteConditions,
        params: Params
      }
    },
    async (request, reply) => {
      const { user, params, deadline } = request
      const condition = versionCondition(request.headers)
      const removed = await store.remove(user.sub, params.id, condition, deadline)
      app.storage.freed(user.sub)
      return removed ? { detail: 'Task deleted' } : refuse(user.sub, params.id, condition, reply)
    }
  )
}
