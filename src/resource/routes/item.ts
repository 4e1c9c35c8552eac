import { Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'
import type { Owner } from '../../auth/user.ts'
import type { App } from '../../http/application.ts'
import { Problem, sendProblem } from '../../http/problems.ts'
import { ETag, operation, Params, ReadConditions, Unchanged, WRITE_ERRORS, WriteConditions } from '../document.ts'
import { sendUnlessKnown, UNCONDITIONAL, type VersionCondition, versionCondition } from '../preconditions.ts'
import { type Context, etagOf, sendItem } from './context.ts'

const MERGE_PATCH = 'application/merge-patch+json'

const foundOf = ({ declaration: { schemas, words } }: Context) => ({
  ...schemas.item,
  description: `The ${words.singular}`,
  headers: { ETag }
})

/** GET of one item. */
export function getRoute(app: App, context: Context): void {
  const { declaration, notFound, store, read } = context
  const { words } = declaration
  app.get(
    '/:id',
    {
      onRequest: read,
      schema: {
        ...operation(words, 'read', {
          operationId: `get${words.title}`,
          summary: `Get one of your ${words.plural}`,
          success: { 200: foundOf(context), 304: Unchanged },
          errors: [notFound, 'precondition_failed']
        }),
        headers: ReadConditions,
        params: Params
      }
    },
    async (request, reply) => {
      const item = await store.get(request.user.sub, request.params.id, request.deadline)
      if (item === undefined) return sendProblem(reply, notFound)
      return sendUnlessKnown(request, reply, etagOf(item), item.json)
    }
  )
}

/**
 * Answers a write that found nothing to change: the item is not there, or not as the client has it (RFC 9110 section
 * 13.2.1).
 */
async function refuse(
  { store, notFound }: Context,
  owner: Owner,
  id: string,
  condition: VersionCondition,
  reply: FastifyReply
) {
  const item = condition === UNCONDITIONAL ? undefined : await store.get(owner, id, reply.request.deadline)
  if (item === undefined) return sendProblem(reply, notFound)
  return sendProblem(reply.header('etag', etagOf(item)), 'precondition_failed')
}

/** PUT and PATCH of one item, which are the same: the members that are sent are changed. */
export function updateRoutes(app: App, context: Context): void {
  const { declaration, notFound, store, size, write } = context
  const { words, schemas, hasDocuments } = declaration
  for (const [method, verb] of [
    ['PUT', 'update'],
    ['PATCH', 'patch']
  ] as const) {
    // RFC 7396 would merge a document into the one that is there. Here it takes its place, so that is refused.
    const consumes = method === 'PATCH' && !hasDocuments ? { consumes: ['application/json', MERGE_PATCH] } : {}
    app.route({
      method,
      url: '/:id',
      onRequest: write,
      schema: {
        ...operation(words, 'write', {
          operationId: `${verb}${words.title}`,
          summary: 'Change the members that you send; the others keep their value',
          success: { 200: foundOf(context) },
          errors: [notFound, 'precondition_failed', ...WRITE_ERRORS]
        }),
        ...consumes,
        headers: WriteConditions,
        params: Params,
        body: schemas.change
      },
      handler: async (request, reply) => {
        const { user, params, body, deadline } = request
        if (hasDocuments && request.mediaType === MERGE_PATCH) throw new Problem('unsupported_media_type')
        const condition = versionCondition(request.headers)
        const update = [{ id: params.id, change: body }]
        if (!(await size.fits(user.sub, { update }))) return sendProblem(reply, 'quota_exceeded')
        const item = await store.update(user.sub, params.id, body, condition, deadline)
        return item === undefined ? refuse(context, user.sub, params.id, condition, reply) : sendItem(reply, item)
      }
    })
  }
}

/** DELETE of one item. */
export function deleteRoute(app: App, context: Context): void {
  const { declaration, notFound, store, size, write } = context
  const { words } = declaration
  const detail = `${words.capitalized} deleted`
  const deleted = {
    ...Type.Object({ detail: Type.Literal(detail) }, { additionalProperties: false }),
    description: `The ${words.singular} is gone`
  }
  app.delete(
    '/:id',
    {
      onRequest: write,
      schema: {
        ...operation(words, 'write', {
          operationId: `delete${words.title}`,
          summary: `Delete one of your ${words.plural}`,
          success: { 200: deleted },
          errors: [
            notFound,
            'precondition_failed',
            'still_referenced',
            'invalid_json',
            'body_too_large',
            'unsupported_media_type'
          ]
        }),
        headers: WriteConditions,
        params: Params
      }
    },
    async (request, reply) => {
      const { user, params, deadline } = request
      const condition = versionCondition(request.headers)
      const removed = await store.remove(user.sub, params.id, condition, deadline)
      size.freed(user.sub)
      return removed ? { detail } : refuse(context, user.sub, params.id, condition, reply)
    }
  )
}
