import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import application, { serverOptions } from '../../src/app.ts'
import { testConfig } from '../support/app.ts'

const plugins = [
  'connections',
  'headers',
  'request-id',
  'request-checks',
  '@fastify/cors',
  // The hook of plugins/cors.ts: the name is that of the plugin registered last.
  '@fastify/cors',
  'in-flight',
  'deadline',
  'json-body',
  'not-found',
  'not-found',
  'not-found'
]

t.test('a request meets the hooks in the order of the list in src/app.ts (issue 17)', async (t) => {
  const config = await testConfig({ CORS_ORIGIN: 'https://app.example.com' })
  const app = Fastify(serverOptions(config)) as unknown as FastifyInstance
  t.teardown(() => app.close())
  const order: string[] = []
  const { addHook } = app
  Object.assign(app, {
    addHook(this: FastifyInstance, name: 'onRequest', hook: never) {
      const plugin = String(this.pluginName.split(' -> ').at(-1))
      if (name === 'onRequest') order.push(plugin)
      return addHook.call(this, name, hook)
    }
  })
  await app.register(application, { config })
  await app.ready()
  t.same(order.slice(0, plugins.length), plugins)
  t.comment(`onRequest: ${order.slice(0, plugins.length).join(', ')}`)
})
