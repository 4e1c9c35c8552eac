import { Type } from '@sinclair/typebox'
import type { Transaction } from '../../db/transaction.ts'
import type { App } from '../../http/application.ts'
import { JSON_TYPE } from '../../http/openapi.ts'
import { Problem, sendProblem } from '../../http/problems.ts'
import { pageLinks } from '../cursor.ts'
import { CREATE_ERRORS, ETag, KEY_ERRORS, operation, ReadConditions, Replayed, Unchanged } from '../document.ts'
import { IdempotencyKey } from '../idempotency.ts'
import { sendUnlessKnown } from '../preconditions.ts'
import type { Created } from '../statements.ts'
import type { Stored } from '../store.ts'
import { type Context, sendItem } from './context.ts'

const Link = {
  type: 'string',
  description: 'The next page while there is one, `rel="next"`, and the first, `rel="first"` (RFC 8288)'
}

/** GET of the list. */
export function listRoute(app: App, { declaration, path, store, tagOf, read }: Context): void {
  const { words, schemas, filters } = declaration
  const TotalCount = { type: 'string', description: `How many ${words.plural} there are in all, with \`count=exact\`` }
  const page = {
    ...Type.Array(schemas.item, { maxItems: 100 }),
    description: `A page of ${words.plural}`,
    headers: { ETag, Link, 'X-Total-Count': TotalCount }
  }

  app.get(
    '/',
    {
      onRequest: read,
      schema: {
        ...operation(words, 'read', {
          operationId: `list${words.pluralTitle}`,
          summary: `List your ${words.plural}, newest first`,
          success: { 200: page, 304: Unchanged },
          errors: ['validation_failed', 'precondition_failed']
        }),
        headers: ReadConditions,
        querystring: schemas.query
      }
    },
    async (request, reply) => {
      const { user, query, deadline } = request
      const { json, next } = await store.list(user.sub, query, deadline)
      reply.header('link', pageLinks(path, query, filters, next))
      if (query.count === 'exact') reply.header('x-total-count', await store.count(user.sub, query, deadline))
      return sendUnlessKnown(request, reply, tagOf(json), json)
    }
  )
}

/** POST of one item. */
export function createRoute(app: App, { declaration, path, store, size, idempotent, write }: Context): void {
  const { words, schemas } = declaration
  const Location = { type: 'string', description: `Where the ${words.singular} is from now on` }
  const created = {
    ...schemas.item,
    description: `The new ${words.singular}`,
    headers: { ETag, Location, 'Idempotency-Replayed': Replayed }
  }
  const repeated = {
    ...schemas.item,
    description: `The ${words.singular} as it is now: the same create, with the same \`id\`, created it before`,
    headers: { ETag, Location }
  }
  const locationOf = ({ id }: Stored) => `${path}/${id}`

  app.post(
    '/',
    {
      onRequest: write,
      schema: {
        ...operation(words, 'write', {
          operationId: `create${words.title}`,
          summary: `Create ${words.indefinite}`,
          success: { 200: repeated, 201: created },
          errors: [...CREATE_ERRORS, ...KEY_ERRORS]
        }),
        headers: IdempotencyKey,
        body: { ...schemas.create, ...(schemas.examples.length > 0 && { examples: schemas.examples }) }
      }
    },
    async (request, reply) => {
      const { user, body, deadline } = request
      const key = request.headers['idempotency-key']
      const fits = await size.fits(user.sub, { create: [body] })
      const sendCreated = (item: Created) =>
        sendItem(reply.code(item.isNew ? 201 : 200).header('location', locationOf(item)), item)
      if (key === undefined) {
        if (!fits) return sendProblem(reply, 'quota_exceeded')
        return sendCreated(await store.create(user.sub, body, deadline))
      }
      let before: Created | undefined
      const create = async (transaction: Transaction) => {
        if (!fits) throw new Problem('quota_exceeded')
        const item = await store.create(user.sub, body, transaction)
        if (!item.isNew) before = item
        // A create that did nothing can be repeated without its answer.
        return { json: item.json, location: locationOf(item), keep: item.isNew }
      }
      const answer = await idempotent(user.sub, key, [`POST ${path}`, body], create, { within: deadline })
      if (before !== undefined) return sendCreated(before)
      if (typeof answer === 'string') return sendProblem(reply, answer)
      if (answer.replayed) reply.header('idempotency-replayed', 'true')
      // A new item is of version 1.
      return reply.code(201).header('location', answer.location).header('etag', '"1"').type(JSON_TYPE).send(answer.json)
    }
  )
}
