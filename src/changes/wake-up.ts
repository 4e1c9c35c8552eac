import { Deadline } from '../http/deadline.ts'

/** Why a stream ends: `replaced` by a newer one of its user, who had as many as one may have. */
export type Reason = 'token_expired' | 'reconnect' | 'replaced'

/** Proxies give up what is silent for a minute, some for half of one. */
export const HEARTBEAT_MS = 20_000

/** What a stream waits for: a change that may be there, or its end. */
export class WakeUp {
  #notified = false
  #wake: (() => void) | undefined
  #stopped = false
  #reason: Reason | undefined
  /** For the statements of the stream: those that wait when it is stopped are not sent. */
  readonly deadline = new Deadline(Number.POSITIVE_INFINITY)

  /** Why the stream ends when all changes that are there were sent; undefined while it goes on. */
  get reason(): Reason | undefined {
    return this.#reason
  }

  /** Whether nothing may be read for the stream any more. */
  get stopped(): boolean {
    return this.#stopped
  }

  notify(): void {
    this.#notified = true
    this.#wake?.()
  }

  /** Ends the stream after the changes that are there. */
  end(reason: Reason): void {
    this.#reason ??= reason
    this.notify()
  }

  /** Ends the stream at once: its token is good no longer. */
  revoke(): void {
    this.#reason = 'token_expired'
    this.#stop()
  }

  /** The client has gone. */
  disconnect(): void {
    this.#stop()
  }

  #stop(): void {
    this.#stopped = true
    this.deadline.close()
    this.notify()
  }

  /** Resolves when there is something to do, at once if there is already; false after a heartbeat without. */
  async wait(): Promise<boolean> {
    if (!this.#notified) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, HEARTBEAT_MS)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    const notified = this.#notified
    this.#notified = false
    return notified
  }
}
