import type { Socket } from 'node:net'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether the instance is about to close. It still serves requests, and asks clients to close connections. */
    isDraining(): boolean
  }
}

/** Connections that are still open after this time are closed. By then every request has been answered. */
const CLOSE_MS = 5200

/** Milliseconds that an unused connection has to send something once the instance closes. */
export const UNUSED_MS = 500

/** Delays the close of the instance, so that load balancers and clients have time to notice. */
export default fp(
  async (app) => {
    let draining = false
    const sockets = new Set<Socket>()
    app.server.on('connection', (socket: Socket) => {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    })
    app.decorate('isDraining', () => draining)
    app.addHook('preClose', async () => {
      draining = true
      // During the delay Fastify accepts new connections. Its answers ask clients to close theirs.
      await new Promise((resolve) => setTimeout(resolve, app.config.shutdownDelayMs))
      // Browsers open some connections before they need them. Node does not count these as idle, so `close` would wait
      // for them.
      setTimeout(() => {
        for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
      }, UNUSED_MS).unref()
      // Nor does it count a connection with an unfinished request, so `close` would wait for that for ever.
      setTimeout(() => app.server.closeAllConnections(), CLOSE_MS).unref()
    })
  },
  { name: 'drain' }
)
