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
     * Streams the caller's changes of a resource. The stream ends when the token expires, its key is withdrawn, an hour
     * has passed, the client leaves, or newer streams of the user are as many as a user may have
     * (`STREAMS_PER_USER_MAX`). Answers 503 when the instance has as many streams as it may have (`STREAMS_MAX`).
     */
    sendChanges(request: FastifyRequest, reply: FastifyReply, source: Source): Promise<FastifyReply>
  }
}

/** The longest life of a stream. A feed outlives it by a day (`src/changes/feed.ts`). */
export const STREAM_MAX_MS = 3_600_000

/**
 * The events of a stream. When they cannot be read, the last event asks the client to reconnect. A stream that was
 * stopped fails because it reads no more.
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
 * Streams of changes (`src/changes`). A notification carries a random key alone. What a stream sends is read for its
 * own caller.
 */
export default fp(
  async (app) => {
    const feeds = new FeedStore(app.owned)
    const hub = new StreamHub(app.config.streams)
    addMetrics(app, {
      name: 'streams',
      help: 'Streams of changes that are open',
      kind: 'gauge',
      read: () => hub.size
    })
    app.addHook('preClose', (done) => {
      hub.endAll('reconnect')
      done()
    })

    let listening = false
    /** Listens from the first stream on. Until that works, and while it does not, each heartbeat looks for changes. */
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

    /** Opens the caller's stream, which is removed when its time is up, its key is withdrawn, or the client leaves. */
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
        // The client keeps the connection open, and closing would wait for it.
        if (app.isDraining()) socket.end()
      }
      finished(response, leave)
      // `finished` does not report a socket that was closed before.
      if (socket.destroyed) leave()
      return stream
    }

    app.decorate('sendChanges', async (request, reply, source) => {
      const { sub } = request.user
      reply
        .type('text/event-stream; charset=utf-8')
        // A proxy that compresses would hold an event back until there are more (HAProxy: 20 seconds).
        .header('cache-control', 'no-store, no-transform')
        // nginx would buffer a page of events.
        .header('x-accel-buffering', 'no')
      // A HEAD gets the header fields of the GET, and no events.
      if (request.method === 'HEAD') return reply.send(Readable.from([]))
      if (hub.isFull) return sendProblem(reply, 'unavailable')
      const stream = open(request, reply.raw)
      listen()
      const feed = await feeds.open(sub, stream.deadline).catch((error) => {
        if (!stream.stopped) throw error
      })
      // The client may have left meanwhile, and the owner's other streams may be new ones.
      if (feed === undefined || stream.stopped) return reply.send(Readable.from([endOf(stream.reason ?? 'reconnect')]))
      hub.subscribe(sub, feed)
      if (app.isDraining()) hub.end(stream, 'reconnect')
      request.release()
      const lastId = request.headers['last-event-id'] as string | undefined
      return reply.send(Readable.from(withEnd(request, stream, streamOf(feeds, sub, source, feed, lastId, stream))))
    })
  },
  { name: 'streams', dependencies: ['auth', 'database', 'deadline', 'drain'] }
)
