import { fork } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import Fastify, { type FastifyInstance, type RouteHandlerMethod } from 'fastify'
import fp from 'fastify-plugin'
import appPlugin, { serverOptions } from '../../src/app.ts'
import { developmentToken } from '../../src/auth/development-token.ts'
import { loadConfig } from '../../src/config/config.ts'

/**
 * What the limiter of users adds to a request with a known token: the same route with and without it, in turn, over
 * HTTP from another process. Microseconds of processor time a request, which other processes do not change, and of
 * waiting. The second half needs a Redis.
 *
 *     npm run -s build && REDIS_URL=redis://127.0.0.1:6379 node dist/test/load/limiter-cost.js
 */
const ROUNDS = 31
const REQUESTS = 4000

interface Job {
  port: number
  path: string
  authorization: string
  /** Requests in flight at once. */
  depth: number
}

/** The client, in a separate process. It keeps `depth` requests in flight until all are answered. */
function client(): void {
  process.on('message', ({ port, path, authorization, depth }: Job) => {
    const request = `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\n\r\n`
    let answered = 0
    const socket = connect(port, '127.0.0.1', () => socket.write(request.repeat(depth)))
    socket.on('data', (data) => {
      const before = answered
      for (let at = data.indexOf('HTTP/1.1 200'); at !== -1; at = data.indexOf('HTTP/1.1 200', at + 1)) answered++
      if (answered < REQUESTS) return void socket.write(request.repeat(answered - before))
      socket.destroy()
      process.send?.('done')
    })
  })
}

async function start(env: Record<string, string>): Promise<FastifyInstance> {
  const config = loadConfig({
    NODE_ENV: 'test',
    LOG_LEVEL: 'silent',
    BETTER_AUTH_SECRET: 'the secret of the load tests, which is long enough',
    DATABASE_URL: 'postgres://127.0.0.1:1/none',
    RATE_LIMIT_MAX: '999999999',
    ...env
  })
  const app = Fastify(serverOptions(config))
  await app.register(fp(appPlugin), { config })
  const handler: RouteHandlerMethod = (_request, reply) => reply.send('ok')
  app.get('/with', { onRequest: [app.authenticate, app.limitUser] }, handler)
  app.get('/without', { onRequest: app.authenticate }, handler)
  await app.listen({ host: '127.0.0.1', port: 0 })
  return app
}

/** The lower quartile: what is above it is the noise of the machine. */
const quartile = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 2] ?? NaN

async function measure(name: string, env: Record<string, string>, depth: number): Promise<void> {
  const app = await start(env)
  const authorization = `Bearer ${await developmentToken(app.config, 'alice')}`
  const { port } = app.server.address() as AddressInfo
  const child = fork(fileURLToPath(import.meta.url), ['client'])
  const figures = {
    '/without': { cpu: [] as number[], wall: [] as number[] },
    '/with': { cpu: [] as number[], wall: [] as number[] }
  }
  for (let round = -3; round < ROUNDS; round++) {
    for (const path of ['/without', '/with'] as const) {
      const [began, used] = [performance.now(), process.cpuUsage()]
      child.send({ port, path, authorization, depth } satisfies Job)
      await once(child, 'message')
      const { user, system } = process.cpuUsage(used)
      // The first rounds include the time of the compiler.
      if (round < 0) continue
      figures[path].cpu.push((user + system) / REQUESTS)
      figures[path].wall.push(((performance.now() - began) * 1000) / REQUESTS)
    }
  }
  child.kill()
  await app.close()
  for (const kind of ['cpu', 'wall'] as const) {
    const [a, b] = [quartile(figures['/without'][kind]), quartile(figures['/with'][kind])]
    console.log(`${name}, ${kind}: ${a.toFixed(1)} µs without, ${b.toFixed(1)} with, ${(b - a).toFixed(1)} more`)
  }
}

if (process.argv[2] === 'client') {
  client()
} else {
  const { REDIS_URL } = process.env
  for (const [where, env] of [
    ['in memory', {}],
    ...(REDIS_URL === undefined ? [] : [['in Redis', { REDIS_URL }] as const])
  ] as const) {
    for (const depth of [1, 32]) await measure(`${where}, ${depth} at a time`, env, depth)
  }
}
