import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether the instance is about to close. It still serves requests, and asks clients to close connections. */
    isDraining(): boolean
  }
}

/** Connections that are still open after this time are closed. By then every request has been answered. */
const CLOSE_MS = 5200

/** Delays the close of the instance, so that load balancers and clients have time to notice. */
export default fp(
  async (app) => {
    let draining = false
    app.decorate('isDraining', () => draining)
    app.addHook('preClose', async () => {
      draining = true
      // During the delay Fastify accepts new connections. Its answers ask clients to close theirs.
      await new Promise((resolve) => setTimeout(resolve, app.config.shutdownDelayMs))
      // Node does not count a connection with an unfinished request as idle, so `close` would wait for it for ever.
      setTimeout(() => app.server.closeAllConnections(), CLOSE_MS).unref()
    })
  },
  { name: 'drain' }
)
