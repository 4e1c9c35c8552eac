import { Type } from '@sinclair/typebox'
import type { App } from '../../../../src/http/application.ts'
import { operation } from '../../../../src/tasks/document.ts'
import { taskStore } from '../../../../src/tasks/store.ts'

const LastEventId = Type.Object({
  'last-event-id': Type.Optional(
    Type.String({ description: 'The `id` of the last event that you got: what you missed comes first' })
  )
})

const DESCRIPTION = `Server-sent events, to be read with \`fetch\`, since a token has no place in a URL.

| event | data | |
| --- | --- | --- |
| \`reload\` | \`{}\` | Load the list: the first event, unless all that came after your \`Last-Event-ID\` follows |
| \`created\`, \`updated\` | \`{"id", "version", "task"}\` | The task as it is now, in this version or a newer one; null when it is gone by now |
| \`deleted\` | \`{"id", "version"}\` | |
| \`end\` | \`{"reason"}\` | \`token_expired\`: come again with a new token. \`reconnect\`, \`replaced\` (by a newer stream of yours): come again, after \`retry\` |

A comment comes every 20 seconds at least.`

/** The caller's changes as they happen. */
export default async function events(app: App): Promise<void> {
  const source = { resource: 'tasks', member: 'task', load: taskStore(app.owned).getAll }

  const stream = { description: 'The events', content: { 'text/event-stream': { schema: { type: 'string' } } } }
  app.get(
    '/',
    {
      onRequest: app.requireScope('tasks:read'),
      schema: {
        ...operation('watchTasks', 'Your changes as they happen', 'tasks:read', { 200: stream }),
        description: DESCRIPTION,
        headers: LastEventId
      }
    },
    (request, reply) => app.sendChanges(request, reply, source)
  )
}
