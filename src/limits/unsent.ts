import type { Connection, Connections, Exchange } from '../http/connection.ts'
import type { ProblemCode } from '../http/problems.ts'

/** An answer of at most so many bytes is never refused. */
const SMALL_BYTES = 16 * 1024

interface Usage {
  answers: number
  bytes: number
}

/**
 * Counts the answers that clients have not taken yet, and their bytes. A client that reads slowly keeps its answers in
 * this process, whoever sent the requests.
 */
export class UnsentAnswers {
  readonly #connections: Connections
  readonly #perUserMax: number
  readonly #perUserBytesMax: number
  readonly #bytesMax: number
  readonly #users = new Map<string | undefined, Usage>()
  #bytes = 0

  /** @param limits requests of one user that are not finished, bytes of their answers, and bytes of all answers */
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
   * Counts an exchange against its user. Returns false, and counts nothing, when the user has too much that is not
   * finished.
   */
  admit(exchange: Exchange, owner: string): boolean {
    // Its client left while the token was checked, so it has ended already.
    if (exchange.aborted) return true
    const usage = this.#usageOf(owner)
    if (usage.answers >= this.#perUserMax || usage.bytes >= this.#perUserBytesMax) return false
    usage.answers++
    exchange.owner = owner
    return true
  }

  /**
   * Counts the bytes of an answer before it is sent. Returns the problem to answer instead, when they do not fit. The
   * user whose clients keep the most loses a connection before anybody else is refused.
   */
  reserve(exchange: Exchange, bytes: number): ProblemCode | undefined {
    const usage = this.#usageOf(exchange.owner)
    if (bytes > SMALL_BYTES) {
      if (usage.bytes > 0 && usage.bytes + bytes > this.#perUserBytesMax) return 'too_many_in_flight'
      if (this.#bytes + bytes > this.#bytesMax) this.#relieve()
      // Its own connection may be the one that was closed.
      if (exchange.aborted) return undefined
      if (this.#bytes + bytes > this.#bytesMax) return 'unavailable'
    }
    exchange.bytes += bytes
    this.#bytes += bytes
    usage.bytes += bytes
    return undefined
  }

  /** The client has the answer, or is gone. */
  end({ owner, bytes }: Exchange): void {
    const usage = this.#usageOf(owner)
    this.#bytes -= bytes
    usage.bytes -= bytes
    if (owner !== undefined) usage.answers--
    if (usage.answers === 0 && usage.bytes === 0) this.#users.delete(owner)
  }

  /** Those without a verified user share one account. */
  #usageOf(owner: string | undefined): Usage {
    const usage = this.#users.get(owner) ?? { answers: 0, bytes: 0 }
    this.#users.set(owner, usage)
    return usage
  }

  // A quarter at a time, so that the search for the greediest is rare.
  #relieve(): void {
    let largest = this.#largest
    while (largest !== undefined && this.#bytes > this.#bytesMax * 0.75) {
      largest.cut('memory')
      largest = this.#largest
    }
  }

  /** The connection that keeps the most for the user whose clients keep the most. */
  get #largest(): Connection | undefined {
    const [[owner] = []] = [...this.#users].sort(([, one], [, other]) => other.bytes - one.bytes)
    return this.#connections.largestOf(owner)
  }
}
