import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether the instance is about to close: it still serves, and wants no more. */
    isDraining(): boolean
  }
}

/** After this a connection that is still open while the server closes has nothing to be answered any more. */
const CLOSE_MS = 5200

/** On closing, gives whoever sends requests here the time to see it. */
export default fp(
  async (app) => {
    let draining = false
    app.decorate('isDraining', () => draining)
    // Fastify asks each client to close its connection from now on; new ones are accepted until this is over.
    app.addHook('preClose', async () => {
      draining = true
      await new Promise((resolve) => setTimeout(resolve, app.config.shutdownDelayMs))
      // Node does not count a connection with an unfinished request as idle, so `close` would wait for it for ever.
      setTimeout(() => app.server.closeAllConnections(), CLOSE_MS).unref()
    })
  },
  { name: 'drain' }
)
