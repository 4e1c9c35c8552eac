import type { Owner } from '../auth/user.ts'
import type { Deadline } from '../http/deadline.ts'
import { QUEUE_CHECK_MS } from './connection.ts'
import { DEADLINE_OVER, failure, QUEUE_TIMEOUT } from './errors.ts'
import { FairQueue } from './queue.ts'
import type { Kind } from './retries.ts'
import type { Slot } from './slot.ts'

/** What a connection is wanted for. */
export interface Demand {
  owner: Owner
  /** For an error: the statement, or what the transaction begins with. */
  text: string
  kind: Kind
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
   * How many reads, or writes, share a connection. Those that leave together share a packet and wake PostgreSQL once
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

/** A write whose request has less time left shares no connection: the others would be stopped with it. */
const SHARING_MIN_MS = 1000

/** After so long without another an owner is alone. */
const ALONE_MS = 1000

/**
 * Slots, and the queue of what waits for one. Owners have their turns in it, so nobody waits for another's burst.
 * PostgreSQL is sent no more than it works on at once: what waits here can still be dropped when nobody waits for it
 * any more.
 *
 * A write shares its connection if its owner has nothing else in flight. So it rarely waits for a lock, and at most
 * three writes of others wait with it. While it waits behind others, its owner's later writes wait too.
 */
export class Lane {
  readonly #slots: readonly Slot[]
  readonly #limits: Limits
  readonly #queue = new FairQueue<Waiting>()
  readonly #inFlight = new Map<Owner, number>()
  /** The owners with a write in flight that may share its connection, and whether it was sent behind others. */
  readonly #writing = new Map<Owner, boolean>()
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
  tryAcquire(demand: Demand): Slot | undefined {
    const { owner } = demand
    const now = performance.now()
    if (this.#latest !== owner) {
      if (this.#latest !== undefined) this.#changed = now
      this.#latest = owner
    }
    // What waits is not overtaken.
    if (!this.#queue.isEmpty || !this.#mayHave(demand, now)) return undefined
    return this.#occupy(demand, now)
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
    if (slot.shared === 'write') this.#writing.delete(owner)
    if (--slot.inFlight > 0) slot.since = performance.now()
    const left = (this.#inFlight.get(owner) as number) - 1
    if (left > 0) this.#inFlight.set(owner, left)
    else this.#inFlight.delete(owner)
    if (!this.#queue.isEmpty) this.#dispatch()
  }

  /** Whether an owner has more than one statement in flight, or others that wait. */
  hasOthers(owner: Owner): boolean {
    return (this.#inFlight.get(owner) as number) > 1 || this.#queue.has(owner)
  }

  #mayHave({ owner, kind }: Demand, now: number): boolean {
    const isBehind = this.#writing.get(owner)
    // The locks of a transaction would hold up the owner's write, and the writes of others behind that.
    if (isBehind !== undefined && kind === 'transaction') return false
    // On another connection a later write could overtake the one that waits behind others.
    if (isBehind && kind === 'write') return false
    const { perOwner, perOwnerAlone } = this.#limits
    return (this.#inFlight.get(owner) ?? 0) < (now - this.#changed > ALONE_MS ? perOwnerAlone : perOwner)
  }

  #occupy({ owner, kind, within }: Demand, now: number): Slot | undefined {
    const inFlight = this.#inFlight.get(owner) ?? 0
    const hasTime = within === undefined || within.at - now >= SHARING_MIN_MS
    const shared = kind === 'read' || (kind === 'write' && inFlight === 0 && hasTime) ? kind : undefined
    const slot = this.#choose(shared, now)
    if (slot === undefined) return undefined
    if (shared === 'write') this.#writing.set(owner, slot.inFlight > 0)
    if (slot.inFlight++ === 0) slot.since = now
    slot.shared = shared
    this.#inFlight.set(owner, inFlight + 1)
    return slot
  }

  /** An idle slot. If there is none, the one with the fewest statements that this one may join. */
  #choose(shared: Slot['shared'], now: number): Slot | undefined {
    let best: Slot | undefined
    for (const slot of this.#slots) {
      const { inFlight } = slot
      if (inFlight === 0) return slot
      if (shared === undefined || slot.shared !== shared || inFlight >= this.#limits.pipeline) continue
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
      const next = this.#queue.peek(({ demand }) => this.#mayHave(demand, now))
      if (next === undefined) return
      const { text, within } = next.demand
      if (within?.over) next.reject(failure(DEADLINE_OVER, text))
      else {
        const slot = this.#occupy(next.demand, now)
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
