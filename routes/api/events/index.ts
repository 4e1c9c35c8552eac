import { Type } from '@sinclair/typebox'
import { grants, type User } from '../../../src/auth/user.ts'
import { describeEvents, EventStream, LastEventId } from '../../../src/changes/document.ts'
import type { App } from '../../../src/http/application.ts'
import { sendProblem } from '../../../src/http/problems.ts'
import { operationOf, scopeOf } from '../../../src/resource/document.ts'
import type { Context } from '../../../src/resource/routes/context.ts'
import { sourceOf } from '../../../src/resource/routes/events.ts'

/** The most names in a query. A stream of more resources is one of all that the token may read. */
const NAMES_MAX = 20

const DESCRIPTION = `${describeEvents('"resource", "id", "version"', '…', 'item', 'the lists')}

\`resource\` is the name of the resource in URLs and scopes, such as \`tasks\`. The item is the member that its own
stream has, such as \`task\`. Ids are numbers of one sequence: that of any stream of yours resumes any other.

The token needs \`<resource>:read\` for each resource that the query names.`

/** Makes the schema of the query. It names the resources that are served. Nothing fits if none is served. */
const queryOf = (resources: ReadonlyMap<string, Context>) =>
  Type.Unsafe<{ resource?: string[] }>({
    type: 'object',
    properties: {
      resource: {
        type: 'array',
        maxItems: NAMES_MAX,
        description: 'The resources of the stream. Repeat it for each. Without it: all that the token may read',
        // Fastify reads this when it compiles the schema: all routes are there then, and with them all resources.
        get items() {
          return resources.size > 0 && { type: 'string', enum: [...resources.keys()] }
        }
      }
    }
  })

/**
 * Returns the resources of a stream: those that the query names, or else all that the token may read. Empty when the
 * token may not read one that is named, or none at all.
 */
function readable(resources: ReadonlyMap<string, Context>, named: string[] | undefined, user: User) {
  const wanted = [...resources].filter(([name]) => named?.includes(name) ?? true)
  const granted = wanted.filter(([name]) => grants(user, scopeOf(name, 'read')))
  return named === undefined || granted.length === wanted.length ? granted : []
}

/** The caller's changes of several resources as they happen, in one stream. */
export default async function events(app: App): Promise<void> {
  const { resources } = app
  app.get(
    '/',
    {
      schema: {
        ...operationOf('events', [], {
          operationId: 'watchChanges',
          summary: 'Your changes of several resources as they happen',
          success: { 200: EventStream },
          errors: ['validation_failed']
        }),
        description: DESCRIPTION,
        headers: LastEventId,
        querystring: queryOf(resources),
        get hide() {
          return resources.size === 0
        }
      }
    },
    async (request, reply) => {
      const granted = readable(resources, request.query.resource, request.user)
      if (granted.length === 0) return sendProblem(reply, 'insufficient_scope')
      const sources = granted.map(([name, context]) => ({ ...sourceOf(context), collection: name }))
      return app.sendChanges(request, reply, sources)
    }
  )
}
