import { hexOf } from './values.ts'

/** The part of the Web Locks API that is used. Not every runtime has it. */
interface Locks {
  request(name: string, options: { signal: AbortSignal } | { steal: true }, hold: () => Promise<void>): Promise<void>
}

/** A tab that holds the stream and says nothing for so long is frozen: a lost connection takes it 90 seconds to say. */
export const FROZEN_MS = 120_000

const locksHere = () => (globalThis as { navigator?: { locks?: Locks } }).navigator?.locks

/** Names what the tabs of one user of one service share, if they can. The name does not tell who the user is. */
async function nameOf(url: string, subject: string | undefined): Promise<string | undefined> {
  if (locksHere() === undefined || subject === undefined) return undefined
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(`${url}\n${subject}`))
  return `rowkeeper 1 ${hexOf(new Uint8Array(hash))}`
}

/** Posts a message to all tabs of a user, from a tab that may not have joined them. */
export async function broadcast<Message>(url: string, subject: string | undefined, message: Message): Promise<void> {
  const name = await nameOf(url, subject)
  if (name === undefined) return
  const channel = new BroadcastChannel(name)
  channel.postMessage(message)
  channel.close()
}

export interface Tab<Message> {
  /** Does the work of the tab that holds the stream, until the signal aborts. */
  lead(signal: AbortSignal): Promise<void>
  /** Told what the others post. */
  onMessage(message: Message): void
}

/**
 * The tabs of one user in one browser. One of them leads, until it closes or freezes. Without Web Locks each tab leads:
 * pages that are no secure context have none. A browser that has them has BroadcastChannel and SubtleCrypto too.
 */
export class Tabs<Message> {
  readonly #tab: Tab<Message>
  readonly #signal: AbortSignal
  #channel: InstanceType<typeof BroadcastChannel> | undefined
  #frozen: ReturnType<typeof setTimeout> | undefined
  /** Undefined while this tab leads. */
  #onFrozen: (() => void) | undefined

  constructor(tab: Tab<Message>, signal: AbortSignal) {
    this.#tab = tab
    this.#signal = signal
  }

  /** Posts a message to the other tabs. */
  post(message: Message): void {
    this.#channel?.postMessage(message)
  }

  /** Leads whenever it is this tab's turn. Resolves when the signal has aborted. */
  async join(url: string, subject: string | undefined, onJoined: () => void): Promise<void> {
    const [locks, name] = [locksHere(), await nameOf(url, subject)]
    if (locks === undefined || name === undefined) return this.#tab.lead(this.#signal)
    const channel = new BroadcastChannel(name)
    this.#channel = channel
    channel.onmessage = ({ data }: { data: unknown }) => {
      this.#listen()
      this.#tab.onMessage(data as Message)
    }
    onJoined()
    try {
      for (let steal = false; !this.#signal.aborted; ) steal = await this.#takeTurn(locks, name, steal)
    } finally {
      clearTimeout(this.#frozen)
      this.#channel = undefined
      channel.close()
    }
  }

  /** Starts the time in which the leading tab must be heard. */
  #listen(): void {
    clearTimeout(this.#frozen)
    if (this.#onFrozen !== undefined) this.#frozen = setTimeout(this.#onFrozen, FROZEN_MS)
  }

  /** Waits for the lock and leads while this tab has it. Resolves to whether the next turn is to be stolen. */
  async #takeTurn(locks: Locks, name: string, steal: boolean): Promise<boolean> {
    const turn = new AbortController()
    const waiting = new AbortController()
    this.#onFrozen = () => waiting.abort()
    this.#listen()
    const signal = AbortSignal.any([this.#signal, turn.signal])
    const hold = () => {
      clearTimeout(this.#frozen)
      this.#onFrozen = undefined
      return this.#tab.lead(signal)
    }
    const options = steal ? ({ steal: true } as const) : { signal: AbortSignal.any([this.#signal, waiting.signal]) }
    const refused: unknown = await locks.request(name, options, hold).catch((error) => error)
    turn.abort()
    // It rejects so when the signal aborts, and when another tab stole the lock. Other pages may have no locks: a frame
    // without an origin, say.
    if (refused instanceof Error && refused.name !== 'AbortError') await this.#tab.lead(this.#signal)
    return waiting.signal.aborted
  }
}
