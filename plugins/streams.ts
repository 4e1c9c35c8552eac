import { finished, Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { FeedStore } from '../src/changes/feed.ts'
import { StreamHub } from '../src/changes/hub.ts'
import { endOf, type Source, streamOf } from '../src/changes/stream.ts'
import type { WakeUp } from '../src/changes/wake-up.ts'
import { codeOf } from '../src/db/errors.ts'
import { sendProblem } from '../src/http/problems.ts'
import { addMetrics } from '../src/telemetry/metrics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Streams the caller's changes of one resource or several. The stream ends when the token expires, when its key is
     * withdrawn, after an hour, when the client leaves, or when the user has `STREAMS_PER_USER_MAX` newer streams. When
     * the instance has `STREAMS_MAX` streams, it answers 503.
     */
    sendChanges(request: FastifyRequest, reply: FastifyReply, sources: readonly Source[]): Promise<FastifyReply>
  }
}

/** The longest life of a stream. A feed expires a day later (`src/changes/feed.ts`). */
export const STREAM_MAX_MS = 3_600_000

/**
 * Yields the events of a stream. When the changes cannot be read, the last event asks the client to reconnect. A
 * stopped stream fails on purpose, because its statements are not sent, so its error is not logged.
 */
async function* withEnd(request: FastifyRequest, stream: WakeUp, events: AsyncGenerator<string>) {
  try {
    yield* events
  } catch (error) {
    if (!stream.stopped) request.log.warn({ err: error }, 'a stream of changes ended')
    yield endOf(stream.reason ?? 'reconnect')
  }
}

/**
 * Streams changes to clients (`src/changes`). A notification contains only a random key. Each stream then reads the
 * changes of its own caller.
 */
export default fp(
  async (app) => {
    const feeds = new FeedStore(app.owned)
    const hub = new StreamHub(app.config.streams)
    addMetrics(app, {
      name: 'streams',
      help: 'Open streams of changes',
      kind: 'gauge',
      read: () => hub.size
    })
    app.addHook('preClose', (done) => {
      hub.endAll('reconnect')
      done()
    })

    let listening = false
    /** Starts the listener with the first stream. While it is not connected, each heartbeat reads the changes. */
    const listen = () => {
      if (listening) return
      listening = true
      app
        .listenForChanges(
          (key) => hub.notify(key),
          () => hub.notifyAll()
        )
        .catch((error) => app.log.warn({ code: codeOf(error) }, 'not listening to changes yet'))
    }

    /** Opens the caller's stream. It ends when its time is up or its key is withdrawn, and when the client leaves. */
    const open = ({ user, tokenKey, raw: { socket } }: FastifyRequest, response: NodeJS.WritableStream): WakeUp => {
      const stream = hub.add(user.sub, socket)
      const left = user.expiresAt === null ? STREAM_MAX_MS : user.expiresAt * 1000 - Date.now()
      const reason = left < STREAM_MAX_MS ? 'token_expired' : 'reconnect'
      const life = setTimeout(() => hub.end(stream, reason), Math.min(left, STREAM_MAX_MS))
      const forgetKey = tokenKey.onWithdrawn(() => hub.revoke(stream))
      const leave = () => {
        if (!hub.remove(user.sub, stream)) return
        clearTimeout(life)
        forgetKey()
        // The client would keep the connection open, and the close of the instance would wait for it.
        if (app.isDraining()) socket.end()
      }
      finished(response, leave)
      // `finished` does not report a socket that was closed before.
      if (socket.destroyed) leave()
      return stream
    }

    app.decorate('sendChanges', async (request, reply, sources) => {
      const { sub } = request.user
      reply
        .type('text/event-stream; charset=utf-8')
        // `no-transform`: a proxy that compresses would delay an event until more arrive (HAProxy: 20 seconds).
        .header('cache-control', 'no-store, no-transform')
        // Without this nginx buffers events until they fill a page of memory.
        .header('x-accel-buffering', 'no')
      if (request.method === 'HEAD') return reply.send(Readable.from([]))
      if (hub.isFull) return sendProblem(reply, 'unavailable')
      const stream = open(request, reply.raw)
      listen()
      const feed = await feeds.open(sub, stream.deadline).catch((error) => {
        if (!stream.stopped) throw error
      })
      // Meanwhile the client may have left. The owner's other streams may then be new ones: do not subscribe them.
      if (feed === undefined || stream.stopped) return reply.send(Readable.from([endOf(stream.reason ?? 'reconnect')]))
      hub.subscribe(sub, feed)
      if (app.isDraining()) hub.end(stream, 'reconnect')
      request.release()
      const lastId = request.headers['last-event-id'] as string | undefined
      return reply.send(Readable.from(withEnd(request, stream, streamOf(feeds, sub, sources, feed, lastId, stream))))
    })
  },
  { name: 'streams', dependencies: ['auth', 'database', 'deadline', 'drain'] }
)
