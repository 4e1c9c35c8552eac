import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import type { Test } from 'tap'
import autohooks from '../../routes/api/autohooks.ts'
import type { App } from '../../src/http/application.ts'
import { build } from './app.ts'
import sampleResource from './samples.ts'

/**
 * The real application, which also serves the samples at `/api/samples`.
 *
 * @param beside registers more routes under `/api`
 */
export const serveSamples = (t: Test, beside?: (api: App) => void): Promise<FastifyInstance> =>
  build(t, { RATE_LIMIT_MAX: 'off' }, async (app) => {
    const api: FastifyPluginAsync = async (plain) => {
      const api = plain as unknown as App
      await autohooks(api)
      await plain.register(sampleResource as FastifyPluginAsync, { prefix: '/samples' })
      beside?.(api)
    }
    await app.register(api, { prefix: '/api' })
  })
