import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import fp from 'fastify-plugin'
import { type Closing, Connections, type Exchange } from '../src/http/connection.ts'
import { problemOfFramework } from '../src/http/framework-errors.ts'
import { payloadBytes } from '../src/http/payload.ts'
import { Problem } from '../src/http/problems.ts'
import { UnsentAnswers } from '../src/limits/unsent.ts'
import { addMetrics } from '../src/telemetry/metrics.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether one more request of a verified user may begin; false when too much of theirs is not finished. */
    admitExchange(exchange: Exchange, owner: string): boolean
  }
  interface FastifyRequest {
    exchange: Exchange
  }
}

/**
 * Requests of one connection that are not finished. Neither browsers nor proxies send requests ahead (RFC 9112 section
 * 9.3.2), and a single packet can hold a thousand.
 */
const PIPELINE_MAX = 32

/** A connection on which nothing moves for so long, though an answer waits to be taken, is closed. */
const STALLED_MS = 5000

/**
 * An answer must be taken within so long, and a time by its size: 8 kB a second. Node's timeout does not see a client
 * that reads nothing but sends empty lines.
 */
const TAKEN_MS = 30_000
const TAKEN_BYTES_PER_MS = 8

/** What a stream of a file has in memory at most. */
const STREAM_BYTES = 128 * 1024

/** Keeps account of each connection: what is not finished on it, what its client has not taken, and how it ends. */
export default fp(
  async (app) => {
    const connections = new Connections()
    const unsent = new UnsentAnswers(connections, app.config.unsent)
    const aborted: Record<Closing, number> = { client: 0, stalled: 0, pipelined: 0, memory: 0 }

    app.decorate('admitExchange', (exchange, owner) => unsent.admit(exchange, owner))
    app.decorateRequest('exchange', null as never)

    app.addHook('onRequest', (request, reply, done) => {
      const connection = connections.of(request.raw.socket)
      request.exchange = connection.begin(request, reply)
      if (connection.exchanges.size > PIPELINE_MAX) connection.cut('pipelined')
      // Node parses the rest of a packet even after an earlier request in it closed the connection.
      if (!request.exchange.aborted) done()
    })

    app.addHook('onSend', (request, reply, payload, done) => {
      const { exchange } = request
      const bytes = payloadBytes(payload, reply)
      // A stream waits for its client by itself, with a little in memory.
      const kept = payload instanceof Readable ? Math.min(bytes, STREAM_BYTES) : bytes
      const refusal = exchange.aborted ? undefined : unsent.reserve(exchange, kept)
      if (refusal === undefined) {
        exchange.answered = true
        if (bytes > 0) exchange.due = performance.now() + TAKEN_MS + bytes / TAKEN_BYTES_PER_MS
        return done()
      }
      // What was asked is done, and to refuse the answer would say that it is not.
      if (request.method !== 'GET' && request.method !== 'HEAD') return exchange.connection.cut('memory')
      for (const name of ['etag', 'link', 'x-total-count']) reply.removeHeader(name)
      done(new Problem(refusal))
    })

    app.addHook('onResponse', ({ exchange }, _reply, done) => {
      if (exchange.aborted) aborted[exchange.connection.closing]++
      unsent.end(exchange)
      exchange.connection.end(exchange)
      done()
    })

    app.server.setTimeout(STALLED_MS, (socket: Socket) => {
      const connection = connections.of(socket)
      // Node does not start the timer again by itself.
      if (connection.awaitsService) socket.setTimeout(STALLED_MS)
      else connection.cut('stalled')
    })
    const lookForLate = setInterval(() => connections.cutLate(), 1000).unref()
    app.addHook('onClose', async () => clearInterval(lookForLate))

    app.server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
      if (error.code === 'ECONNRESET') socket.destroy()
      else connections.of(socket).refuse(problemOfFramework(error, 'bad_request'))
    })
    app.server.on('connect', (_request, socket: Socket) => connections.of(socket).refuse('bad_request'))

    addMetrics(
      app,
      {
        name: 'unsent_bytes',
        help: 'Bytes of answers that clients have not taken yet',
        kind: 'gauge',
        read: () => unsent.bytes
      },
      {
        name: 'requests_aborted_total',
        help: 'Requests whose client did not get the answer, by who closed the connection: client, or why the service did',
        kind: 'counter',
        label: 'reason',
        read: () => aborted
      }
    )
  },
  { name: 'connections' }
)
