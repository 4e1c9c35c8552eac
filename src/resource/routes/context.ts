import type { FastifyReply, onRequestHookHandler } from 'fastify'
import type { TagOf } from '../../http/entity-tag.ts'
import { JSON_TYPE } from '../../http/openapi.ts'
import type { NotFoundCode } from '../../http/problems.ts'
import type { Declaration } from '../declaration.ts'
import type { Idempotent } from '../idempotency.ts'
import type { Size } from '../size.ts'
import type { Store, Stored } from '../store.ts'

/** What the routes of one resource share. */
export interface Context {
  declaration: Declaration
  /** The path of the list: `/api/tasks`. */
  path: string
  notFound: NotFoundCode
  store: Store
  size: Size
  idempotent: Idempotent
  tagOf: TagOf
  /** Hooks that require the scopes of the resource. */
  read: onRequestHookHandler
  write: onRequestHookHandler
}

export const etagOf = ({ version }: Stored) => `"${version}"`

/** Answers with one item. */
export const sendItem = (reply: FastifyReply, item: Stored) =>
  reply.header('etag', etagOf(item)).type(JSON_TYPE).send(item.json)
