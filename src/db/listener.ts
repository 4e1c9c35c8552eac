import type { Slot } from './slot.ts'

/** The channel of `pg_notify` in `record_change` (migration 0003). */
const CHANNEL = 'rowkeeper'

/** How long after an attempt to listen that failed the next is made. */
export const LISTEN_AGAIN_MS = 1000

/**
 * How often a connection that listens is asked something. Otherwise it could be lost for as long as the kernel takes to
 * find out, and nobody would be told of changes.
 */
export const LISTENER_CHECK_MS = 5000

/** Listens on the connection of a slot, and again whenever that is lost, until it is closed. */
export class Listener {
  readonly #slot: Slot
  readonly #onListening: () => void
  #isListening = false
  #hasEnded = false
  #probe: NodeJS.Timeout | undefined

  /**
   * @param onNotification is called with the payload of each notification
   * @param onListening is called when listening begins, and begins again
   */
  constructor(slot: Slot, onNotification: (payload: string) => void, onListening: () => void) {
    this.#slot = slot.on('notification', onNotification).on('close', () => this.#onClose())
    this.#onListening = onListening
    this.#probeLater()
  }

  /** Begins to listen. Throws when the first attempt fails; others follow. */
  async begin(): Promise<void> {
    const first = this.#attempt()
    first.catch(this.#later)
    await first
  }

  close(): void {
    this.#hasEnded = true
    clearTimeout(this.#probe)
  }

  #onClose(): void {
    const wasListening = this.#isListening
    this.#isListening = false
    if (wasListening) this.#tryAgain()
  }

  async #attempt(): Promise<void> {
    const { connection } = this.#slot
    await connection.send(`listen "${CHANNEL}"`)
    // It may have closed since it answered.
    if (connection !== this.#slot.connection) return this.#later()
    this.#isListening = true
    this.#onListening()
  }

  readonly #tryAgain = (): void => {
    if (!this.#hasEnded) this.#attempt().catch(this.#later)
  }

  readonly #later = (): void => {
    setTimeout(this.#tryAgain, LISTEN_AGAIN_MS).unref()
  }

  #probeLater(): void {
    this.#probe = setTimeout(() => {
      this.#probeLater()
      if (this.#isListening) this.#slot.connection.send('select 1').catch(() => {})
    }, LISTENER_CHECK_MS).unref()
  }
}
