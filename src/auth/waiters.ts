/**
 * Of the requests in flight, those that may wait for a fetch of the keys: users with known keys have the other half.
 */
const SHARE_OF_REQUESTS = 1 / 2
/** Of those, the requests of one address. */
const SHARE_OF_ADDRESS = 4 / 5

const shareOf = (max: number, share: number) => Math.max(1, Math.floor(max * share))

/**
 * Bounds the requests that wait for a fetch of the keys. One that finds no place locks nobody out: the fetch that the
 * others wait for brings its key too.
 */
export class Waiters {
  readonly #max: number
  readonly #addressMax: number
  readonly #byAddress = new Map<string, number>()
  #count = 0

  /** @param requestsMax requests in flight at once, of any kind */
  constructor(requestsMax: number) {
    this.#max = shareOf(requestsMax, SHARE_OF_REQUESTS)
    this.#addressMax = shareOf(this.#max, SHARE_OF_ADDRESS)
  }

  get count(): number {
    return this.#count
  }

  /** Whether one more request of the address may wait; it is then to `leave`. */
  tryEnter(address: string): boolean {
    const own = this.#byAddress.get(address) ?? 0
    if (this.#count >= this.#max || own >= this.#addressMax) return false
    this.#count++
    this.#byAddress.set(address, own + 1)
    return true
  }

  leave(address: string): void {
    this.#count--
    const own = Number(this.#byAddress.get(address)) - 1
    if (own > 0) this.#byAddress.set(address, own)
    else this.#byAddress.delete(address)
  }
}
