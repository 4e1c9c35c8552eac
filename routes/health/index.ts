import { Type } from '@sinclair/typebox'
import type { App } from '../../src/http/application.ts'
import { problems } from '../../src/http/openapi.ts'
import { sendProblem } from '../../src/http/problems.ts'

const Status = Type.Object(
  { status: Type.Literal('ok') },
  { title: 'Health', additionalProperties: false, description: 'Healthy' }
)

/**
 * Health checks for load balancers and orchestrators. They are cheap, public, never limited, and reveal nothing
 * sensitive.
 */
export default async function health(app: App): Promise<void> {
  app.addHook('onRequest', (_request, reply, done) => {
    reply.header('cache-control', 'no-store')
    done()
  })

  app.get(
    '/live',
    {
      schema: {
        operationId: 'isLive',
        summary: 'Whether the process answers',
        tags: ['health'],
        security: [],
        response: { 200: Status, ...problems('bad_request', 'headers_too_large') }
      }
    },
    () => ({ status: 'ok' as const })
  )

  app.get(
    '/ready',
    {
      schema: {
        operationId: 'isReady',
        summary: 'Whether requests can be served',
        tags: ['health'],
        security: [],
        response: { 200: Status, ...problems('bad_request', 'headers_too_large', 'unavailable', 'keys_unavailable') }
      }
    },
    async (_request, reply) => {
      if (app.isDraining() || app.isOverloaded()) return sendProblem(reply, 'unavailable')
      if (!app.hasKeys()) return sendProblem(reply, 'keys_unavailable')
      return (await app.isDatabaseReady()) ? { status: 'ok' as const } : sendProblem(reply, 'unavailable')
    }
  )
}
