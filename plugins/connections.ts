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
    /** Whether one more request of a verified user may begin. False when the user has too much unfinished. */
    admitExchange(exchange: Exchange, owner: string): boolean
  }
  interface FastifyRequest {
    exchange: Exchange
  }
}

/**
 * The most unfinished requests of one connection. Browsers and proxies do not pipeline requests (RFC 9112 section
 * 9.3.2), but a single packet can hold a thousand.
 */
const PIPELINE_MAX = 32

/** A connection without any traffic for this time is closed, unless its client waits for the service. */
const STALLED_MS = 5000

/**
 * The client must receive an answer within `RECEIVE_MS`, plus a time for its size: 8 kB a second. Node's timeout does
 * not notice a client that reads nothing but sends empty lines.
 */
const RECEIVE_MS = 30_000
const RECEIVE_BYTES_PER_MS = 8

/** The most that the stream of a file holds in memory. */
const STREAM_BYTES = 128 * 1024

/**
 * Bounds the unfinished requests of each connection and the bytes that its client has not received. Closes the
 * connection of a client that exceeds a bound.
 */
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
      // Node parses the rest of a packet even after a request in it closed the connection. Do not handle such requests.
      if (!request.exchange.aborted) done()
    })

    app.addHook('onSend', (request, reply, payload, done) => {
      const { exchange } = request
      const bytes = payloadBytes(payload, reply)
      // A stream waits for its client and holds only a little in memory.
      const kept = payload instanceof Readable ? Math.min(bytes, STREAM_BYTES) : bytes
      const refusal = exchange.aborted ? undefined : unsent.reserve(exchange, kept)
      if (refusal === undefined) {
        exchange.answered = true
        if (bytes > 0) exchange.due = performance.now() + RECEIVE_MS + bytes / RECEIVE_BYTES_PER_MS
        return done()
      }
      // The write is done. An error answer would say that it is not, so close the connection instead.
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
      // Node does not restart the timer.
      if (connection.awaitsService) socket.setTimeout(STALLED_MS)
      else connection.cut('stalled')
    })
    const lateCheck = setInterval(() => connections.cutLate(), 1000).unref()
    app.addHook('onClose', async () => clearInterval(lateCheck))

    app.server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
      if (error.code === 'ECONNRESET') socket.destroy()
      else connections.of(socket).refuse(problemOfFramework(error, 'bad_request'))
    })
    app.server.on('connect', (_request, socket: Socket) => connections.of(socket).refuse('bad_request'))

    addMetrics(
      app,
      {
        name: 'unsent_bytes',
        help: 'Bytes of answers that clients have not received yet',
        kind: 'gauge',
        read: () => unsent.bytes
      },
      {
        name: 'requests_aborted_total',
        help:
          'Requests whose client did not receive the answer, by reason: the client closed the connection (client), ' +
          'or the service closed it (stalled, pipelined, memory)',
        kind: 'counter',
        label: 'reason',
        read: () => aborted
      }
    )
  },
  { name: 'connections' }
)
