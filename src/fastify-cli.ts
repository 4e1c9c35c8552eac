import fp from 'fastify-plugin'
import { welcome } from './commands/welcome.ts'
import { loadConfig } from './config/config.ts'
import { app, type Options, serverOptions } from './server.ts'

/** What fastify-cli starts for development: the application, which tells its addresses. */
export default fp(
  async (fastify, opts: Options) => {
    await fastify.register(app, opts)
    fastify.addHook('onListen', async () => console.log(await welcome(fastify, fastify.listeningOrigin)))
  },
  { name: 'fastify-cli' }
)

/** The server options by the environment (`--options`). */
export const options = serverOptions(loadConfig())
