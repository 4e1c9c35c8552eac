import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { App } from '../../src/http/application.ts'
import { mount } from '../contract/mount.ts'
import { build } from './app.ts'
import samples from './samples.ts'

/**
 * The real application, which also serves the samples at `/api/samples`.
 *
 * @param beside registers more routes under `/api`
 */
export const serveSamples = (t: Test, beside?: (api: App) => void): Promise<FastifyInstance> =>
  build(t, { RATE_LIMIT_MAX: 'off' }, (app) => mount(app, samples, beside))
