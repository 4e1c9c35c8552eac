import type { ProblemCode } from '../errors.ts'
import type { Connections, Exchange } from '../http/connection.ts'

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
  readonly #users = new Map<string, Usage>()
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
    const usage = this.#users.get(owner) ?? { answers: 0, bytes: 0 }
    if (usage.answers >= this.#perUserMax || usage.bytes >= this.#perUserBytesMax) return false
    usage.answers++
    exchange.owner = owner
    this.#users.set(owner, usage)
    return true
  }

  /**
   * Counts the bytes of an answer that is about to be sent. Returns why it must not be sent, when it does not fit.
   * Whoever keeps the most bytes loses the connection before anybody else is refused.
   */
  give(exchange: Exchange, bytes: number): ProblemCode | undefined {
    const usage = exchange.owner === undefined ? undefined : this.#users.get(exchange.owner)
    if (bytes > SMALL_BYTES) {
      if (usage !== undefined && usage.bytes > 0 && usage.bytes + bytes > this.#perUserBytesMax)
        return 'too_many_in_flight'
      if (this.#bytes + bytes > this.#bytesMax) this.#relieve()
      if (this.#bytes + bytes > this.#bytesMax) return 'unavailable'
    }
    exchange.bytes += bytes
    this.#bytes += bytes
    if (usage !== undefined) usage.bytes += bytes
    return undefined
  }

  /** The client has the answer, or is gone. */
  end({ owner, bytes }: Exchange): void {
    this.#bytes -= bytes
    const usage = owner === undefined ? undefined : this.#users.get(owner)
    if (owner === undefined || usage === undefined) return
    usage.bytes -= bytes
    if (--usage.answers === 0) this.#users.delete(owner)
  }

  // A quarter at a time, so that the search for the largest is rare.
  #relieve(): void {
    while (this.#bytes > this.#bytesMax * 0.75) {
      const { largest } = this.#connections
      if (largest === undefined) return
      largest.cut('memory')
    }
  }
}
