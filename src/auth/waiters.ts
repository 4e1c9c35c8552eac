/**
 * The share of the requests in flight that may wait for a fetch of the keys. The other half is for tokens whose keys
 * are held.
 */
const SHARE_OF_REQUESTS = 1 / 2
/** The share of these places that the requests of one address may take. */
const SHARE_OF_ADDRESS = 4 / 5

const shareOf = (max: number, share: number) => Math.max(1, Math.floor(max * share))

/**
 * Bounds the number of requests that wait for a fetch of the keys. A request without a place can succeed when it is
 * retried: the fetch that the others wait for brings its key too.
 */
export class Waiters {
  readonly #max: number
  readonly #addressMax: number
  readonly #byAddress = new Map<string, number>()
  #count = 0

  /** @param requestsMax the cap on requests in flight */
  constructor(requestsMax: number) {
    this.#max = shareOf(requestsMax, SHARE_OF_REQUESTS)
    this.#addressMax = shareOf(this.#max, SHARE_OF_ADDRESS)
  }

  get count(): number {
    return this.#count
  }

  /** Returns whether one more request of the address may wait. If so, the caller must `leave` afterwards. */
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
