import { describeEvents, EventStream, LastEventId } from '../../changes/document.ts'
import type { Source } from '../../changes/stream.ts'
import type { App } from '../../http/application.ts'
import { operation } from '../document.ts'
import type { Context } from './context.ts'

/** The changes of a resource. */
export const sourceOf = ({ declaration: { tableName, words }, store }: Context): Source => ({
  resource: tableName,
  member: words.name,
  load: store.getAll.bind(store)
})

/** GET of the caller's changes as they happen. */
export function eventsRoute(app: App, context: Context): void {
  const { declaration, read } = context
  const { words } = declaration
  const sources = [sourceOf(context)]
  app.get(
    '/events',
    {
      onRequest: read,
      schema: {
        ...operation(words, 'read', {
          operationId: `watch${words.pluralTitle}`,
          summary: 'Your changes as they happen',
          success: { 200: EventStream }
        }),
        description: describeEvents('"id", "version"', `"${words.name}"`, words.singular, 'the list'),
        headers: LastEventId
      }
    },
    (request, reply) => app.sendChanges(request, reply, sources)
  )
}
