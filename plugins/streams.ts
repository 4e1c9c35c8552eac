import type { Socket } from 'node:net'
import { finished, Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Owner } from '../src/auth/user.ts'
import { feedStore } from '../src/changes/feed.ts'
import { endOf, type Source, streamOf } from '../src/changes/stream.ts'
import { type Reason, WakeUp } from '../src/changes/wake-up.ts'
import { codeOf } from '../src/db/errors.ts'
import { sendProblem } from '../src/http/problems.ts'
import { addMetrics } from '../src/telemetry/metrics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Streams the caller's changes of a resource. The stream ends when the token expires, its key is withdrawn, an hour
     * is over, the client leaves, or newer streams of the user are as many as a user may have (`STREAMS_PER_USER_MAX`).
     * Answers 503 past the streams of the instance (`STREAMS_MAX`).
     */
    sendChanges(request: FastifyRequest, reply: FastifyReply, source: Source): Promise<FastifyReply>
  }
}

/** A feed lives a day longer than that (`src/changes/feed.ts`). */
const LONGEST_MS = 3_600_000

/** For the client to take the last event; then the connection is cut. */
const GRACE_MS = 3000

/**
 * What a stream tells, and in the end to come again, when it cannot be read. A stream that was stopped reads no more.
 */
async function* told(request: FastifyRequest, wakeUp: WakeUp, events: AsyncGenerator<string>): AsyncGenerator<string> {
  try {
    yield* events
  } catch (error) {
    if (!wakeUp.stopped) request.log.warn({ err: error }, 'a stream of changes ended')
    yield endOf(wakeUp.reason ?? 'reconnect')
  }
}

/**
 * Streams of changes (`src/feeds`). What wakes one is a key that says nothing; what it tells is read for its own
 * caller.
 */
export default fp(
  async (app) => {
    const { perUserMax, max } = app.config.streams
    const store = feedStore(app.owned)
    const byOwner = new Map<Owner, { key: string; streams: Set<WakeUp> }>()
    const byKey = new Map<string, Set<WakeUp>>()
    const all = new Map<WakeUp, Socket>()

    let listening = false
    /** From the first stream on. Until it works, and while it does not, changes are looked for with each heartbeat. */
    const listen = () => {
      if (listening) return
      listening = true
      const heard = (key: string) => {
        for (const wakeUp of byKey.get(key) ?? []) wakeUp.notify()
      }
      const missed = () => {
        for (const wakeUp of all.keys()) wakeUp.notify()
      }
      app
        .hearChanges(heard, missed)
        .catch((error) => app.log.warn({ code: codeOf(error) }, 'not listening to changes yet'))
    }

    const cutLater = (wakeUp: WakeUp) => {
      setTimeout(() => all.get(wakeUp)?.destroy(), GRACE_MS).unref()
    }
    const end = (wakeUp: WakeUp, reason: Reason) => {
      wakeUp.end(reason)
      cutLater(wakeUp)
    }
    app.addHook('preClose', (done) => {
      for (const wakeUp of all.keys()) end(wakeUp, 'reconnect')
      done()
    })

    addMetrics(app, {
      name: 'streams',
      help: 'Streams of changes that are open',
      kind: 'gauge',
      read: () => all.size
    })

    app.decorate('sendChanges', async (request, reply, source) => {
      const { sub, expiresAt } = request.user
      reply
        .type('text/event-stream; charset=utf-8')
        // A proxy that compresses would keep an event back until there are more (HAProxy: 20 seconds).
        .header('cache-control', 'no-store, no-transform')
        // nginx would keep it back until there is a page of it.
        .header('x-accel-buffering', 'no')
      // Its content type is that of the GET, and there is nothing to wait for.
      if (request.method === 'HEAD') return reply.send(Readable.from([]))
      const own = byOwner.get(sub) ?? { key: '', streams: new Set() }
      const { streams } = own
      if (all.size >= max) return sendProblem(reply, 'unavailable')
      // The oldest may be of a phone that lost its network. The kernel reports that after a quarter of an hour.
      const [oldest] = streams
      if (oldest !== undefined && streams.size >= perUserMax) {
        streams.delete(oldest)
        end(oldest, 'replaced')
      }

      const wakeUp = new WakeUp()
      const { socket } = request.raw
      all.set(wakeUp, socket)
      streams.add(wakeUp)
      byOwner.set(sub, own)
      const left = expiresAt === null ? LONGEST_MS : expiresAt * 1000 - Date.now()
      const life = setTimeout(
        () => end(wakeUp, left < LONGEST_MS ? 'token_expired' : 'reconnect'),
        Math.min(left, LONGEST_MS)
      )
      const forgetKey = request.tokenKey.onWithdrawn(() => {
        wakeUp.revoke()
        cutLater(wakeUp)
      })
      const leave = () => {
        if (!all.delete(wakeUp)) return
        clearTimeout(life)
        forgetKey()
        wakeUp.disconnect()
        // The client was told that the connection would stay, and closing would wait for it.
        if (app.isDraining()) socket.end()
        streams.delete(wakeUp)
        // One that was replaced may leave after those that came later.
        if (streams.size > 0 || byOwner.get(sub) !== own) return
        byOwner.delete(sub)
        byKey.delete(own.key)
      }
      finished(reply.raw, leave)
      // Nothing tells of what happened before.
      if (socket.destroyed) leave()

      listen()
      const feed = await store.open(sub, wakeUp.deadline).catch((error) => {
        if (!wakeUp.stopped) throw error
      })
      // The streams of a client that has gone meanwhile may be others by now.
      if (feed === undefined || wakeUp.stopped) return reply.send(Readable.from([endOf(wakeUp.reason ?? 'reconnect')]))
      byKey.delete(own.key)
      own.key = feed.key
      byKey.set(feed.key, streams)
      if (app.isDraining()) end(wakeUp, 'reconnect')
      request.release()
      const lastId = request.headers['last-event-id'] as string | undefined
      return reply.send(Readable.from(told(request, wakeUp, streamOf(store, sub, source, feed, lastId, wakeUp))))
    })
  },
  { name: 'streams', dependencies: ['auth', 'database', 'deadline', 'drain'] }
)
