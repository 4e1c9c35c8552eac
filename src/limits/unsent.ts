import type { Connection, Connections, Exchange } from '../http/connection.ts'
import type { ProblemCode } from '../http/problems.ts'

/** An answer of at most this size is never refused. */
const SMALL_BYTES = 16 * 1024

interface Usage {
  answers: number
  bytes: number
}

/**
 * Counts the answers that clients have not received yet, and their bytes. The answers to a client that reads slowly
 * stay in the memory of this process.
 */
export class UnsentAnswers {
  readonly #connections: Connections
  readonly #perUserMax: number
  readonly #perUserBytesMax: number
  readonly #bytesMax: number
  readonly #users = new Map<string | undefined, Usage>()
  #bytes = 0

  /** @param limits the most unfinished requests of one user, bytes of their answers, and bytes of all answers */
  constructor(connections: Connections, limits: { perUserMax: number; perUserBytesMax: number; bytesMax: number }) {
    this.#connections = connections
    this.#perUserMax = limits.perUserMax
    this.#perUserBytesMax = limits.perUserBytesMax
    this.#bytesMax = limits.bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  /**
   * Counts an exchange against its user. Returns false, and counts nothing, when the user has too many unfinished
   * requests or too many unsent bytes.
   */
  admit(exchange: Exchange, owner: string): boolean {
    // The client left while the token was checked, so the exchange has already ended.
    if (exchange.aborted) return true
    const usage = this.#usageOf(owner)
    if (usage.answers >= this.#perUserMax || usage.bytes >= this.#perUserBytesMax) return false
    usage.answers++
    exchange.owner = owner
    return true
  }

  /**
   * Counts the bytes of an answer before it is sent. When they do not fit, returns the problem to answer instead. When
   * the bytes of all answers exceed the limit, connections of the user with the most bytes are closed first.
   */
  reserve(exchange: Exchange, bytes: number): ProblemCode | undefined {
    const usage = this.#usageOf(exchange.owner)
    if (bytes > SMALL_BYTES) {
      if (usage.bytes > 0 && usage.bytes + bytes > this.#perUserBytesMax) return 'too_many_in_flight'
      if (this.#bytes + bytes > this.#bytesMax) this.#relieve()
      // `#relieve` may have closed the connection of this exchange.
      if (exchange.aborted) return undefined
      if (this.#bytes + bytes > this.#bytesMax) return 'unavailable'
    }
    exchange.bytes += bytes
    this.#bytes += bytes
    usage.bytes += bytes
    return undefined
  }

  /** Removes an exchange from the counts: its client has received the answer or has left. */
  end({ owner, bytes }: Exchange): void {
    const usage = this.#usageOf(owner)
    this.#bytes -= bytes
    usage.bytes -= bytes
    if (owner !== undefined) usage.answers--
    if (usage.answers === 0 && usage.bytes === 0) this.#users.delete(owner)
  }

  /** Requests without a verified user share one entry. */
  #usageOf(owner: string | undefined): Usage {
    const usage = this.#users.get(owner) ?? { answers: 0, bytes: 0 }
    this.#users.set(owner, usage)
    return usage
  }

  // Closes connections until a quarter is free, so that the search for the largest one is rare.
  #relieve(): void {
    let largest = this.#largest
    while (largest !== undefined && this.#bytes > this.#bytesMax * 0.75) {
      largest.cut('memory')
      largest = this.#largest
    }
  }

  /** The connection with the most unsent bytes of the user with the most unsent bytes. */
  get #largest(): Connection | undefined {
    const [[owner] = []] = [...this.#users].sort(([, a], [, b]) => b.bytes - a.bytes)
    return this.#connections.largestOf(owner)
  }
}
