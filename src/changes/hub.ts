import type { Socket } from 'node:net'
import type { Owner } from '../auth/user.ts'
import type { Feed } from './feed.ts'
import { type Reason, WakeUp } from './wake-up.ts'

/** The time in which the client must take the last event. Then the connection is cut, milliseconds. */
export const GRACE_MS = 3000

/** The open streams of one owner, oldest first, and the key that their feed is notified with. */
interface Subscription {
  key: string
  readonly streams: Set<WakeUp>
}

/** The open streams of changes: whose they are, which notification wakes them, and how they end. */
export class StreamHub {
  readonly #max: number
  readonly #perOwnerMax: number
  readonly #byOwner = new Map<Owner, Subscription>()
  readonly #byKey = new Map<string, Set<WakeUp>>()
  readonly #sockets = new Map<WakeUp, Socket>()

  /** @param limits open streams of one owner, and of all owners together */
  constructor(limits: { perUserMax: number; max: number }) {
    this.#perOwnerMax = limits.perUserMax
    this.#max = limits.max
  }

  get size(): number {
    return this.#sockets.size
  }

  /** Whether no owner may open a stream. */
  get isFull(): boolean {
    return this.#sockets.size >= this.#max
  }

  /**
   * Adds a stream. An owner who has as many as one may have loses the oldest: it may be that of a phone that lost its
   * network, which the kernel reports after a quarter of an hour.
   */
  add(owner: Owner, socket: Socket): WakeUp {
    const subscription = this.#byOwner.get(owner) ?? { key: '', streams: new Set() }
    const { streams } = subscription
    const [oldest] = streams
    if (oldest !== undefined && streams.size >= this.#perOwnerMax) {
      streams.delete(oldest)
      this.end(oldest, 'replaced')
    }
    const stream = new WakeUp()
    streams.add(stream)
    this.#byOwner.set(owner, subscription)
    this.#sockets.set(stream, socket)
    return stream
  }

  /** Wakes the owner's streams by the key of a feed from now on. */
  subscribe(owner: Owner, { key }: Feed): void {
    const subscription = this.#byOwner.get(owner)
    if (subscription === undefined) return
    this.#byKey.delete(subscription.key)
    subscription.key = key
    this.#byKey.set(key, subscription.streams)
  }

  /** Returns false when the stream was removed before. */
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

  /** Wakes the streams of a feed: there is a change. */
  notify(key: string): void {
    for (const stream of this.#byKey.get(key) ?? []) stream.notify()
  }

  /** Wakes all streams: notifications may have been lost. */
  notifyAll(): void {
    for (const stream of this.#sockets.keys()) stream.notify()
  }

  /** Ends a stream after the changes that are there. */
  end(stream: WakeUp, reason: Reason): void {
    stream.end(reason)
    this.#cutLater(stream)
  }

  endAll(reason: Reason): void {
    for (const stream of this.#sockets.keys()) this.end(stream, reason)
  }

  /** Ends a stream at once: its token is no longer valid. */
  revoke(stream: WakeUp): void {
    stream.revoke()
    this.#cutLater(stream)
  }

  #cutLater(stream: WakeUp): void {
    setTimeout(() => this.#sockets.get(stream)?.destroy(), GRACE_MS).unref()
  }
}
