import type { Socket } from 'node:net'
import type { Owner } from '../auth/user.ts'
import type { Feed } from './feed.ts'
import { type Reason, WakeUp } from './wake-up.ts'

/** Milliseconds in which the client must receive the last event. Then its connection is closed. */
export const GRACE_MS = 3000

/** The open streams of one owner, oldest first, and the key in the notifications of their feed. */
interface Subscription {
  key: string
  readonly streams: Set<WakeUp>
}

/** Holds the open streams of changes, wakes them on notifications, and ends them. */
export class StreamHub {
  readonly #max: number
  readonly #perOwnerMax: number
  readonly #byOwner = new Map<Owner, Subscription>()
  readonly #byKey = new Map<string, Set<WakeUp>>()
  readonly #sockets = new Map<WakeUp, Socket>()

  /** @param limits the most open streams of one owner, and of all owners together */
  constructor(limits: { perUserMax: number; max: number }) {
    this.#perOwnerMax = limits.perUserMax
    this.#max = limits.max
  }

  get size(): number {
    return this.#sockets.size
  }

  /** Whether the instance has as many streams as it may have. */
  get isFull(): boolean {
    return this.#sockets.size >= this.#max
  }

  /**
   * Adds a stream. When the owner has too many streams, the oldest one ends. Its client may be a phone that lost its
   * network, which the kernel reports only after a quarter of an hour.
   */
  add(owner: Owner, socket: Socket): WakeUp {
    const { streams } = this.#subscriptionOf(owner)
    const [oldest] = streams
    if (oldest !== undefined && streams.size >= this.#perOwnerMax) {
      streams.delete(oldest)
      this.end(oldest, 'replaced')
    }
    const stream = new WakeUp()
    streams.add(stream)
    this.#sockets.set(stream, socket)
    return stream
  }

  /** From now on, notifications with the key of the feed wake the owner's streams. */
  subscribe(owner: Owner, { key }: Feed): void {
    const subscription = this.#subscriptionOf(owner)
    this.#byKey.delete(subscription.key)
    subscription.key = key
    this.#byKey.set(key, subscription.streams)
  }

  /** Removes a stream. Returns false when it was already removed. */
  remove(owner: Owner, stream: WakeUp): boolean {
    if (!this.#sockets.delete(stream)) return false
    stream.disconnect()
    const subscription = this.#byOwner.get(owner)
    subscription?.streams.delete(stream)
    if (subscription?.streams.size === 0) {
      this.#byOwner.delete(owner)
      this.#byKey.delete(subscription.key)
    }
    return true
  }

  /** Wakes the streams of a feed that has a change. */
  notify(key: string): void {
    for (const stream of this.#byKey.get(key) ?? []) stream.notify()
  }

  /** Wakes all streams. Call this when notifications may have been lost. */
  notifyAll(): void {
    for (const stream of this.#sockets.keys()) stream.notify()
  }

  /** Ends a stream after it has sent the recorded changes. */
  end(stream: WakeUp, reason: Reason): void {
    stream.end(reason)
    this.#cutLater(stream)
  }

  endAll(reason: Reason): void {
    for (const stream of this.#sockets.keys()) this.end(stream, reason)
  }

  /** Ends a stream at once, because its token is no longer valid. */
  revoke(stream: WakeUp): void {
    stream.revoke()
    this.#cutLater(stream)
  }

  #subscriptionOf(owner: Owner): Subscription {
    const subscription = this.#byOwner.get(owner) ?? { key: '', streams: new Set() }
    this.#byOwner.set(owner, subscription)
    return subscription
  }

  #cutLater(stream: WakeUp): void {
    setTimeout(() => this.#sockets.get(stream)?.destroy(), GRACE_MS).unref()
  }
}
