import { ConfigError } from '../config/error.ts'
import type { App } from '../http/application.ts'
import { loadTags } from '../http/entity-tag.ts'
import { defineNotFound, type NotFoundCode } from '../http/problems.ts'
import { schemaErrorFormatter } from '../http/validation-errors.ts'
import {
  type Bodies,
  type ChangeOf,
  type Declaration,
  declare,
  type MembersOf,
  type NewOf,
  type Options
} from './declaration.ts'
import { scopeOf } from './document.ts'
import { idempotency } from './idempotency.ts'
import { batchRoute } from './routes/batch.ts'
import { createRoute, listRoute } from './routes/collection.ts'
import { eventsRoute } from './routes/events.ts'
import { deleteRoute, getRoute, updateRoutes } from './routes/item.ts'
import type { Values } from './schemas.ts'
import { Size } from './size.ts'
import type { Store } from './store.ts'
import type { ResourceTable } from './table.ts'

export { after, atLeast, atMost, before, contains, equals, has, isNull, oneOf } from './filters.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The resource that the route serves. */
    resource?: Declaration
  }
}

/** A Fastify plugin that serves a resource, and what it serves. */
export interface Resource<New extends object = Values, Change extends object = Values> {
  (app: App): Promise<void>
  declaration: Declaration & Bodies<New, Change>
}

/** Refuses two resources of one name or of one table: clients could not tell their operations and events apart. */
function refuseTwin({ words, tableName }: Declaration, other: Declaration, paths: string[]): void {
  const same = other.words.name === words.name ? `are called "${words.name}"` : `serve the table "${tableName}"`
  if (other.words.name !== words.name && other.tableName !== tableName) return
  throw new ConfigError([`Two resources ${same}, at ${paths.join(' and ')}: remove or rename one.`])
}

/**
 * Declares a resource: each user's own rows of a table, with the HTTP contract of docs/api.md. The default export of
 * `routes/api/<name>/index.ts` is what this returns.
 *
 * @param table made by `ownedTable`; it says which members are required, may be null, or have a default
 * @throws {ConfigError} for a declaration that does not fit its table
 */
export function resource<T extends ResourceTable, M extends MembersOf<T>>(
  table: T,
  options: Options<T, M>
): Resource<NewOf<T, M>, ChangeOf<T, M>> {
  const declaration = declare(table, options)
  const { words, members } = declaration
  if (members.every(({ setBy }) => setBy !== 'client')) {
    throw new ConfigError([`The resource "${words.name}" needs a member that clients can change.`])
  }
  const notFound: NotFoundCode = `${words.singular.replaceAll(' ', '_')}_not_found`
  defineNotFound(notFound, `${words.capitalized} not found`)

  const serve = async (app: App): Promise<void> => {
    const store: Store = app.store<Values, Values>(declaration)
    const context = {
      declaration,
      path: app.prefix,
      notFound,
      store,
      size: new Size(app.storage, store, declaration.members),
      idempotent: idempotency(app),
      tagOf: await loadTags(),
      read: app.requireScope(scopeOf(words.collection, 'read')),
      write: app.requireScope(scopeOf(words.collection, 'write'))
    }
    app.setSchemaErrorFormatter(schemaErrorFormatter(notFound))
    app.addHook('onRoute', (route) => {
      route.config = { ...route.config, resource: declaration }
    })
    for (const { declaration: other, path } of app.resources.values())
      refuseTwin(declaration, other, [path, app.prefix])
    app.resources.set(words.collection, context)
    for (const route of ROUTES) route(app, context)
  }
  return Object.assign(serve, { declaration })
}

const ROUTES = [listRoute, createRoute, getRoute, updateRoutes, deleteRoute, batchRoute, eventsRoute]
