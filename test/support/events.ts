import type { FastifyInstance } from 'fastify'
import * as events from '../contract/events.ts'
import type { Test } from '../contract/test.ts'

export type { Told, Watch } from '../contract/events.ts'

/** Opens a stream of events (`test/contract/events.ts`): that of the tasks, unless another is given. */
export const watch = (t: Test, app: FastifyInstance, user: string, options: Partial<events.WatchOptions> = {}) =>
  events.watch(t, app, user, { url: '/api/tasks/events', ...options })
