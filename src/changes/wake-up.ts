import { Deadline } from '../http/deadline.ts'

/** Why a stream ends. `replaced`: its user opened a newer stream and had too many. */
export type Reason = 'token_expired' | 'reconnect' | 'replaced'

/** Proxies close a connection that is silent for a minute. Some close it after half a minute. */
export const HEARTBEAT_MS = 20_000

/** The signal that a stream waits for: a change may be recorded, or the stream ends. */
export class WakeUp {
  #notified = false
  #wake: (() => void) | undefined
  #stopped = false
  #reason: Reason | undefined
  /** The deadline of the stream's statements. A statement that is queued when the stream stops is not sent. */
  readonly deadline = new Deadline(Number.POSITIVE_INFINITY)

  /** Why the stream ends once it has sent the recorded changes. Undefined while it continues. */
  get reason(): Reason | undefined {
    return this.#reason
  }

  /** Whether the stream must not read anything more. */
  get stopped(): boolean {
    return this.#stopped
  }

  notify(): void {
    this.#notified = true
    this.#wake?.()
  }

  /** Ends the stream after it has sent the recorded changes. */
  end(reason: Reason): void {
    this.#reason ??= reason
    this.notify()
  }

  /** Ends the stream at once, because its token is no longer valid. */
  revoke(): void {
    this.#reason = 'token_expired'
    this.#stop()
  }

  /** Ends the stream because its client has left. */
  disconnect(): void {
    this.#stop()
  }

  #stop(): void {
    this.#stopped = true
    this.deadline.close()
    this.notify()
  }

  /** Waits for a notification, at most until the next heartbeat. Resolves to whether there was one. */
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
