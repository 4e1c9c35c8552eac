import { Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'
import type { App } from '../../../src/app.ts'
import { type ProblemCode, sendProblem } from '../../../src/errors.ts'
import { problems, unauthorized } from '../../../src/openapi.ts'
import { pageLinks } from '../../../src/tasks/cursor.ts'
import { NewTask, Task, TaskChange, TaskQuery } from '../../../src/tasks/schemas.ts'
import { type StoredTask, taskStore } from '../../../src/tasks/store.ts'
import { schemaErrorFormatter, UUID_PATTERN } from '../../../src/validation.ts'

const JSON_TYPE = 'application/json; charset=utf-8'
const NOT_FOUND = 'task_not_found'

const Params = Type.Object({
  id: Type.String({ pattern: UUID_PATTERN, description: 'A UUID', examples: ['019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708'] })
})

const ETag = { type: 'string', description: 'Of this version of the task', examples: ['"1"'] }
const Location = { type: 'string', description: 'Where the task is from now on' }
const Link = {
  type: 'string',
  description: 'The next page while there is one, `rel="next"`, and the first, `rel="first"` (RFC 8288)'
}
const TotalCount = { type: 'string', description: 'How many tasks there are in all, with `count=exact`' }

const Deleted = Type.Object({ detail: Type.Literal('Task deleted') }, { additionalProperties: false })

const sendTask = (reply: FastifyReply, task: StoredTask) =>
  reply.header('etag', `"${task.version}"`).type(JSON_TYPE).send(task.json)

/** What the document says of an operation: its answers are `success` and the errors of all, and of its own. */
const operation = (
  operationId: string,
  summary: string,
  scope: 'tasks:read' | 'tasks:write',
  success: Record<number, object>,
  ...errors: ProblemCode[]
) => {
  const common = [
    ...unauthorized,
    'insufficient_scope',
    'rate_limited',
    'internal_error',
    'unavailable',
    'keys_unavailable',
    'bad_request',
    'url_too_long'
  ] as const
  const response: Record<number, object> = { ...success, ...problems(...common, ...errors) }
  return { operationId, summary, tags: ['tasks'], security: [{ bearer: [scope] }], response }
}

const BODY_ERRORS = [
  'invalid_json',
  'validation_failed',
  'value_out_of_range',
  'body_too_large',
  'unsupported_media_type'
] as const

/** The caller's tasks. Each handler passes the verified `sub`, and nothing else, as the owner. */
export default async function tasks(app: App): Promise<void> {
  const store = taskStore(app.owned)
  const read = app.requireScope('tasks:read')
  const write = app.requireScope('tasks:write')
  app.setSchemaErrorFormatter(schemaErrorFormatter(NOT_FOUND))

  const page = {
    ...Type.Array(Task, { maxItems: 100 }),
    description: 'A page of tasks',
    headers: { Link, 'X-Total-Count': TotalCount }
  }
  app.get(
    '/',
    {
      onRequest: read,
      schema: {
        ...operation('listTasks', 'List your tasks, newest first', 'tasks:read', { 200: page }, 'validation_failed'),
        querystring: TaskQuery
      }
    },
    async (request, reply) => {
      const { user, query } = request
      const { json, next } = await store.list(user.sub, query)
      reply.header('link', pageLinks('/api/tasks', query, next))
      if (query.count === 'exact') reply.header('x-total-count', await store.count(user.sub, query))
      return reply.type(JSON_TYPE).send(json)
    }
  )

  const created = { ...Task, description: 'The new task', headers: { ETag, Location } }
  app.post(
    '/',
    {
      onRequest: write,
      schema: {
        ...operation('createTask', 'Create a task', 'tasks:write', { 201: created }, ...BODY_ERRORS),
        body: NewTask
      }
    },
    async (request, reply) => {
      const task = await store.create(request.user.sub, request.body)
      return sendTask(reply.code(201).header('location', `/api/tasks/${task.id}`), task)
    }
  )

  const found = { ...Task, description: 'The task', headers: { ETag } }
  app.get(
    '/:id',
    {
      onRequest: read,
      schema: {
        ...operation('getTask', 'Get one of your tasks', 'tasks:read', { 200: found }, NOT_FOUND),
        params: Params
      }
    },
    async (request, reply) => {
      const task = await store.get(request.user.sub, request.params.id)
      return task === undefined ? sendProblem(reply, NOT_FOUND) : sendTask(reply, task)
    }
  )

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
          ...BODY_ERRORS
        ),
        ...(method === 'PATCH' ? { consumes: ['application/json', 'application/merge-patch+json'] } : {}),
        params: Params,
        body: TaskChange
      },
      handler: async (request, reply) => {
        const task = await store.update(request.user.sub, request.params.id, request.body)
        return task === undefined ? sendProblem(reply, NOT_FOUND) : sendTask(reply, task)
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
          'invalid_json'
        ),
        params: Params
      }
    },
    async (request, reply) =>
      (await store.remove(request.user.sub, request.params.id))
        ? { detail: 'Task deleted' }
        : sendProblem(reply, NOT_FOUND)
  )
}
