import { Type } from '@sinclair/typebox'
import type { App } from '../../http/application.ts'
import { operation } from '../document.ts'
import type { Words } from '../words.ts'
import type { Context } from './context.ts'

const LastEventId = Type.Object({
  'last-event-id': Type.Optional(
    Type.String({ description: 'The `id` of the last event that you got: what you missed comes first' })
  )
})

const CURRENT = 'as it is now, in this version or a newer one; null when it is gone by now'
const END =
  '`token_expired`: come again with a new token. `reconnect`, `replaced` (by a newer stream of yours): come again'

const descriptionOf = ({ name, singular }: Words) =>
  `Server-sent events, to be read with \`fetch\`, since a token has no place in a URL.

| event | data | |
| --- | --- | --- |
| \`reload\` | \`{}\` | Load the list: the first event, unless all that came after your \`Last-Event-ID\` follows |
| \`created\`, \`updated\` | \`{"id", "version", "${name}"}\` | The ${singular} ${CURRENT} |
| \`deleted\` | \`{"id", "version"}\` | |
| \`end\` | \`{"reason"}\` | ${END}, after \`retry\` |

A comment comes every 20 seconds at least.`

/** GET of the caller's changes as they happen. */
export function eventsRoute(app: App, { declaration, store, read }: Context): void {
  const { words, tableName } = declaration
  const source = { resource: tableName, member: words.name, load: store.getAll.bind(store) }
  const stream = { description: 'The events', content: { 'text/event-stream': { schema: { type: 'string' } } } }
  app.get(
    '/events',
    {
      onRequest: read,
      schema: {
        ...operation(words, 'read', {
          operationId: `watch${words.pluralTitle}`,
          summary: 'Your changes as they happen',
          success: { 200: stream }
        }),
        description: descriptionOf(words),
        headers: LastEventId
      }
    },
    (request, reply) => app.sendChanges(request, reply, source)
  )
}
