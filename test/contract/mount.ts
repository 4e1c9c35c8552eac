import type { FastifyInstance } from 'fastify'
import autohooks from '../../routes/api/autohooks.ts'
import type { App } from '../../src/http/application.ts'
import type { Resource } from '../../src/resource/resource.ts'

/**
 * Mounts a resource at `/api/<collection>`, with the hooks of `routes/api`.
 *
 * @param beside registers more routes under `/api`
 */
export const mount = async (
  app: FastifyInstance,
  resource: Resource<object, object>,
  beside?: (api: App) => void
): Promise<void> => {
  await app.register(
    async (plain) => {
      const api = plain as unknown as App
      await autohooks(api)
      await api.register(resource, { prefix: `/${resource.declaration.words.collection}` })
      beside?.(api)
    },
    { prefix: '/api' }
  )
}
