import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type ProblemCode, sendProblem } from './problems.ts'
import { rawProblem } from './raw-answer.ts'

/** One request and its answer, from the first hook until the client has the answer or is gone. */
export interface Exchange {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly connection: Connection
  /** The verified user that the answer is for; undefined while nobody is. */
  owner: string | undefined
  /** Whether the answer was given: it may still wait for the client to take it. */
  answered: boolean
  /** The bytes of the answer that are kept for the client. */
  bytes: number
  /** When the client must have taken the answer, on the clock of `performance.now()`; infinite while that is open. */
  due: number
  /** Whether the connection was closed before the client had the answer. */
  aborted: boolean
}

/** How long the answers of a connection that is to be closed may take, milliseconds: longer than any request may. */
const FINISH_MS = 5000

/** How long a client has to read the last answer of a connection, milliseconds. */
const LINGER_MS = 1000

const ignore = () => {}

/** Fastify knows an end before its time by the code that Node gives it, and then neither fails nor answers. */
const clientLeft = Object.assign(new Error('The client left'), { code: 'ERR_STREAM_PREMATURE_CLOSE' })

/** Who closed a connection, or why the service did. */
export type Closing = 'client' | 'stalled' | 'pipelined' | 'memory'

/** A connection of a client, and its exchanges that are not over. */
export class Connection {
  readonly exchanges = new Set<Exchange>()
  closing: Closing = 'client'
  readonly #socket: Socket
  /** The request that came last. Its body may still be on its way, even when it was answered. */
  #latest: IncomingMessage | undefined
  /** The last bytes to send, once all exchanges are over. */
  #last: string | undefined
  #closed = false

  constructor(socket: Socket) {
    this.#socket = socket
    socket.once('close', () => this.#close())
    // Node removes its own listener from the socket of a CONNECT.
    socket.on('error', ignore)
  }

  begin(request: FastifyRequest, reply: FastifyReply): Exchange {
    const exchange = {
      request,
      reply,
      connection: this,
      owner: undefined,
      answered: false,
      bytes: 0,
      due: Number.POSITIVE_INFINITY,
      aborted: this.#closed
    }
    this.#latest = request.raw
    if (!this.#closed) this.exchanges.add(exchange)
    return exchange
  }

  end(exchange: Exchange): void {
    this.exchanges.delete(exchange)
    if (this.exchanges.size === 0 && this.#last !== undefined && !this.#closed) this.#finish(this.#last)
  }

  /** The bytes of the answers to a user that the client has not taken. */
  bytesOf(owner: string | undefined): number {
    let bytes = 0
    for (const exchange of this.exchanges) if (exchange.owner === owner) bytes += exchange.bytes
    return bytes
  }

  /** Whether the client should have taken an answer by `now`. */
  isLate(now: number): boolean {
    for (const { due } of this.exchanges) if (now > due) return true
    return false
  }

  /** Whether the client waits for the service: a request is not finished, and no bytes wait for the client. */
  get awaitsService(): boolean {
    return this.exchanges.size > 0 && this.#socket.writableLength === 0
  }

  /**
   * Answers what Node could not read as a request, or will not serve, and closes the connection. Answers leave in the
   * order of the requests (RFC 9112 section 9.3.2), so this one waits for those before it.
   */
  refuse(code: ProblemCode): void {
    // Node tells of every packet that comes after the first fault.
    if (this.#last !== undefined) return
    const partial = this.#latest?.complete === false
    // When the fault is in the body of the newest request, the problem is the answer to that request. If that was
    // answered already, the connection closes without another word.
    this.#last = partial ? '' : rawProblem(code, randomUUID())
    const latest = partial ? [...this.exchanges].at(-1) : undefined
    if (latest?.request.raw === this.#latest && latest?.answered === false) {
      sendProblem(latest.reply.header('connection', 'close'), code)
    }
    if (this.exchanges.size === 0) this.#finish(this.#last)
    else this.#destroyAfter(FINISH_MS)
  }

  /** Closes the connection at once: its client gets nothing more. */
  cut(reason: Closing): void {
    this.closing = reason
    this.#close()
    this.#socket.destroy()
  }

  #finish(last: string): void {
    if (this.#socket.writable) this.#socket.end(last)
    // Closing before all is read would reset the connection, and take the answer from the client (RFC 9112 section
    // 9.6).
    this.#socket.resume()
    this.#destroyAfter(LINGER_MS)
  }

  #destroyAfter(ms: number): void {
    const timer = setTimeout(() => this.#socket.destroy(), ms).unref()
    this.#socket.once('close', () => clearTimeout(timer))
  }

  /**
   * Ends the exchanges of a client that left. Fastify ends a request on `finish` or `error` of its response. Node emits
   * neither once the socket is gone, and not even `close` for a response that is queued behind another.
   */
  #close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const exchange of this.exchanges) {
      const { raw } = exchange.reply
      exchange.aborted = true
      raw.on('error', ignore)
      raw.destroy()
      raw.emit('error', clientLeft)
    }
  }
}

/** The open connections on which there was a request. */
export class Connections {
  readonly #open = new Map<Socket, Connection>()

  of(socket: Socket): Connection {
    const known = this.#open.get(socket)
    if (known !== undefined) return known
    const connection = new Connection(socket)
    this.#open.set(socket, connection)
    socket.once('close', () => this.#open.delete(socket))
    return connection
  }

  /** The connection that keeps the most bytes of answers for a user, or for nobody who is verified. */
  largestOf(owner: string | undefined): Connection | undefined {
    let largest: Connection | undefined
    let most = 0
    for (const connection of this.#open.values()) {
      const bytes = connection.bytesOf(owner)
      if (bytes > most) [largest, most] = [connection, bytes]
    }
    return largest
  }

  /** Closes the connections whose clients take an answer too slowly, whatever they send meanwhile. */
  cutLate(): void {
    const now = performance.now()
    for (const connection of this.#open.values()) if (connection.isLate(now)) connection.cut('stalled')
  }
}
