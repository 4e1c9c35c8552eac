import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import auth from '../../plugins/auth.ts'
import rateLimit from '../../plugins/rate-limit.ts'
import { loadConfig } from '../../src/config/config.ts'

export interface Answer {
  status: number
  /** The code of the problem, if the answer is one. */
  code: string | undefined
  /** The verified caller, when there was one. */
  sub: string | undefined
  challenge: string | undefined
}

export type Guard = Awaited<ReturnType<typeof guard>>

/**
 * The authentication of the service (plugins/auth.ts) before one route and without a database, so that a test can have
 * several. It closes at the end of `t`.
 */
export async function guard(t: Test, env: Record<string, string>) {
  const app: FastifyInstance = Fastify()
  let handled = 0
  app.decorate('config', loadConfig({ NODE_ENV: 'test', RATE_LIMIT_ANONYMOUS_MAX: 'off', ...env }))
  await app.register(rateLimit)
  await app.register(auth)
  app.get('/', { onRequest: app.authenticate }, (request) => {
    handled++
    return { sub: request.user.sub }
  })
  t.teardown(() => app.close())
  await app.ready()
  return {
    app,
    /** How often the handler ran. */
    handled: () => handled,
    async call(token: string, headers: Record<string, string> = {}): Promise<Answer> {
      const response = await app.inject({ url: '/', headers: { ...headers, authorization: `Bearer ${token}` } })
      const { code, sub } = response.json()
      return {
        status: response.statusCode,
        code,
        sub,
        challenge: response.headers['www-authenticate'] as string | undefined
      }
    }
  }
}
