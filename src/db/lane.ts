import type { Owner } from '../auth/user.ts'
import type { Deadline } from '../http/deadline.ts'
import { QUEUE_CHECK_MS } from './connection.ts'
import { DEADLINE_OVER, failure, QUEUE_TIMEOUT } from './errors.ts'
import { FairQueue } from './queue.ts'
import type { Slot } from './slot.ts'

/** What a connection is wanted for. */
export interface Demand {
  owner: Owner
  /** For an error: the statement, or what the transaction begins with. */
  text: string
  /** Whether nothing else may be in flight on the connection: so it is for all but reads. */
  exclusive: boolean
  within: Deadline | undefined
}

/** What waits in the queue. */
class Waiting {
  readonly owner: Owner
  readonly demand: Demand
  readonly resolve: (slot: Slot) => void
  readonly reject: (error: Error) => void
  checks = 0

  constructor(demand: Demand, resolve: Waiting['resolve'], reject: Waiting['reject']) {
    this.owner = demand.owner
    this.demand = demand
    this.resolve = resolve
    this.reject = reject
  }
}

interface Limits {
  /**
   * How many reads share a connection. Those that leave together share a packet and wake PostgreSQL once
   * (docs/performance.md).
   */
  pipeline: number
  /** How many statements of one owner are in flight while others ask too. */
  perOwner: number
  /** The same while nobody else asks. */
  perOwnerAlone: number
  /**
   * How many checks of the queue a statement waits. They are counted, not milliseconds: a process that was held up
   * serves its queue first.
   */
  checks: number
}

/**
 * Nothing is sent behind a statement that PostgreSQL has worked on for so long: what waits takes a connection that is
 * free.
 */
const SLOW_MS = 20

/** After so long without another an owner is alone. */
const ALONE_MS = 1000

/**
 * Slots, and the queue of what waits for one. Owners have their turns in it, so nobody waits for another's burst.
 * PostgreSQL is sent no more than it works on at once: what waits here can still be dropped when nobody waits for it
 * any more.
 */
export class Lane {
  readonly #slots: readonly Slot[]
  readonly #limits: Limits
  readonly #queue = new FairQueue<Waiting>()
  readonly #inFlight = new Map<Owner, number>()
  #checks: NodeJS.Timeout | undefined
  #latest: Owner | undefined
  /** When another owner than the one before asked, by `performance.now()`. */
  #changed = Number.NEGATIVE_INFINITY

  constructor(slots: readonly Slot[], limits: Limits) {
    this.#slots = slots
    this.#limits = limits
  }

  get queued(): number {
    return this.#queue.size
  }

  /** Returns a slot, if one is free at once. Whoever gets a slot gives it back by `release`. */
  tryAcquire({ owner, exclusive }: Demand): Slot | undefined {
    const now = performance.now()
    if (this.#latest !== owner) {
      if (this.#latest !== undefined) this.#changed = now
      this.#latest = owner
    }
    // What waits is not overtaken.
    if (!this.#queue.isEmpty || !this.#mayHave(owner, now)) return undefined
    return this.#occupy(owner, exclusive, now)
  }

  /** Resolves with a slot, in its owner's turn. Rejects when that takes too long, or when the request's time is up. */
  acquire(demand: Demand): Promise<Slot> {
    return new Promise((resolve, reject) => {
      this.#checks ??= setTimeout(this.#check, QUEUE_CHECK_MS)
      this.#queue.push(new Waiting(demand, resolve, reject))
      // Those before it may be held back for what is in flight of their owners only.
      this.#dispatch()
    })
  }

  release(slot: Slot, owner: Owner): void {
    slot.exclusive = false
    if (--slot.inFlight > 0) slot.since = performance.now()
    const left = (this.#inFlight.get(owner) as number) - 1
    if (left > 0) this.#inFlight.set(owner, left)
    else this.#inFlight.delete(owner)
    if (!this.#queue.isEmpty) this.#dispatch()
  }

  #mayHave(owner: Owner, now: number): boolean {
    const { perOwner, perOwnerAlone } = this.#limits
    return (this.#inFlight.get(owner) ?? 0) < (now - this.#changed > ALONE_MS ? perOwnerAlone : perOwner)
  }

  #occupy(owner: Owner, exclusive: boolean, now: number): Slot | undefined {
    const slot = this.#choose(exclusive, now)
    if (slot === undefined) return undefined
    if (slot.inFlight++ === 0) slot.since = now
    slot.exclusive = exclusive
    this.#inFlight.set(owner, (this.#inFlight.get(owner) ?? 0) + 1)
    return slot
  }

  /** An idle slot; for a read, otherwise, the one with the fewest reads. */
  #choose(exclusive: boolean, now: number): Slot | undefined {
    let best: Slot | undefined
    for (const slot of this.#slots) {
      const { inFlight } = slot
      if (inFlight === 0) return slot
      if (exclusive || slot.exclusive || inFlight >= this.#limits.pipeline) continue
      if (now - slot.since > SLOW_MS) continue
      if (best === undefined || inFlight < best.inFlight) best = slot
    }
    return best
  }

  /**
   * Serves the queue as far as there are connections. Whoever's turn it is gets the next: reads do not overtake a write
   * for ever.
   */
  #dispatch(): void {
    const now = performance.now()
    for (;;) {
      const next = this.#queue.peek((owner) => this.#mayHave(owner, now))
      if (next === undefined) return
      const { owner, exclusive, text, within } = next.demand
      if (within?.over) next.reject(failure(DEADLINE_OVER, text))
      else {
        const slot = this.#occupy(owner, exclusive, now)
        if (slot === undefined) return
        next.resolve(slot)
      }
      this.#queue.take(next)
    }
  }

  readonly #check = (): void => {
    this.#queue.prune((waiting) => {
      const { within, text } = waiting.demand
      const reason = within?.over ? DEADLINE_OVER : waiting.checks++ < this.#limits.checks ? undefined : QUEUE_TIMEOUT
      if (reason !== undefined) waiting.reject(failure(reason, text))
      return reason !== undefined
    })
    this.#checks = this.#queue.isEmpty ? undefined : setTimeout(this.#check, QUEUE_CHECK_MS)
  }
}
