import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type ProblemCode, sendProblem } from './problems.ts'
import { rawProblem } from './raw-answer.ts'

/** One request and its answer, from the first hook until the client has received the answer or has left. */
export interface Exchange {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly connection: Connection
  /** The verified user that the answer is for; undefined while no user is verified. */
  owner: string | undefined
  /** Whether the service has answered. The client may not have received the answer yet. */
  answered: boolean
  /** The bytes of the answer that the client has not received. */
  bytes: number
  /** When the client must have received the answer, on the clock of `performance.now()`; infinite while unknown. */
  due: number
  /** Whether the connection was closed before the client had received the answer. */
  aborted: boolean
}

/** Milliseconds that a connection to be closed has for its outstanding answers: longer than any request may take. */
export const FINISH_MS = 5000

/** Milliseconds that a client has to read the last answer of a connection. */
export const LINGER_MS = 1000

const ignore = () => {}

/** Fastify recognizes a premature end by this code of Node. It then neither reports a failure nor answers. */
const clientLeft = Object.assign(new Error('The client left'), { code: 'ERR_STREAM_PREMATURE_CLOSE' })

/** Who closed a connection, or why the service closed it. */
export type Closing = 'client' | 'stalled' | 'pipelined' | 'memory'

/** A connection of a client, and its unfinished exchanges. */
export class Connection {
  readonly exchanges = new Set<Exchange>()
  closing: Closing = 'client'
  readonly #socket: Socket
  /** The latest request. Its body may still be arriving, even when the request was answered. */
  #latest: IncomingMessage | undefined
  /** The last bytes to send, after all exchanges; undefined unless the connection is to be closed. */
  #last: string | undefined
  #closed = false

  constructor(socket: Socket) {
    this.#socket = socket
    socket.once('close', () => this.#close())
    // Node removes its own error listener from the socket of a CONNECT request.
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

  /** Returns the bytes of a user's answers that the client has not received. */
  bytesOf(owner: string | undefined): number {
    let bytes = 0
    for (const exchange of this.exchanges) if (exchange.owner === owner) bytes += exchange.bytes
    return bytes
  }

  /** Whether the client has not received an answer that was due before `now`. */
  isLate(now: number): boolean {
    for (const { due } of this.exchanges) if (now > due) return true
    return false
  }

  /** Whether the client waits for the service: an exchange is unfinished, and no bytes wait for the client. */
  get awaitsService(): boolean {
    return this.exchanges.size > 0 && this.#socket.writableLength === 0
  }

  /**
   * Answers a request that Node cannot parse or does not serve, and closes the connection. Answers leave in the order
   * of the requests (RFC 9112 section 9.3.2), so this one waits for the earlier ones.
   */
  refuse(code: ProblemCode): void {
    // Node reports every packet after the first fault. Only the first one gets an answer.
    if (this.#last !== undefined) return
    const partial = this.#latest?.complete === false
    // When the fault is in the body of the latest request, the problem is the answer to that request. If the request
    // was answered already, the connection closes without another answer.
    this.#last = partial ? '' : rawProblem(code, randomUUID())
    const latest = partial ? [...this.exchanges].at(-1) : undefined
    if (latest?.request.raw === this.#latest && latest?.answered === false) {
      sendProblem(latest.reply.header('connection', 'close'), code)
    }
    if (this.exchanges.size === 0) this.#finish(this.#last)
    else this.#destroyAfter(FINISH_MS)
  }

  /** Closes the connection at once. The client receives nothing more. */
  cut(reason: Closing): void {
    this.closing = reason
    this.#close()
    this.#socket.destroy()
  }

  #finish(last: string): void {
    if (this.#socket.writable) this.#socket.end(last)
    // Closing a socket with unread data would reset the connection, and the client would lose the answer (RFC 9112
    // section 9.6).
    this.#socket.resume()
    this.#destroyAfter(LINGER_MS)
  }

  #destroyAfter(ms: number): void {
    const timer = setTimeout(() => this.#socket.destroy(), ms).unref()
    this.#socket.once('close', () => clearTimeout(timer))
  }

  /**
   * Ends the exchanges of a client that left. Fastify ends a request on `finish` or `error` of its response. After the
   * socket is gone, Node emits neither. For a response that is queued behind another, it does not even emit `close`.
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

/** The open connections that have carried a request. */
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

  /**
   * Returns the connection with the most bytes that a user has not received. An undefined `owner` stands for the
   * callers who are not verified.
   */
  largestOf(owner: string | undefined): Connection | undefined {
    let largest: Connection | undefined
    let most = 0
    for (const connection of this.#open.values()) {
      const bytes = connection.bytesOf(owner)
      if (bytes > most) [largest, most] = [connection, bytes]
    }
    return largest
  }

  /** Closes the connections whose clients receive an answer too slowly, even if they send requests meanwhile. */
  cutLate(): void {
    const now = performance.now()
    for (const connection of this.#open.values()) if (connection.isLate(now)) connection.cut('stalled')
  }
}
