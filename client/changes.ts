import { Listeners } from './listeners.ts'
import { Problem } from './problem.ts'
import { type Change, RETRY_MAX_MS, RETRY_MS, Stream } from './stream.ts'
import { broadcast, Tabs } from './tabs.ts'
import { wait } from './time.ts'
import type { TokenSource } from './token.ts'

/** What the tabs of one user tell each other. */
type Message =
  | { kind: 'change'; change: Change; id: string | undefined }
  /** The leading tab is there. */
  | { kind: 'sign' }
  /** A new tab asks whether changes arrive. */
  | { kind: 'hello' }
  | { kind: 'signed-out' }

/** A tab that hears nothing for so long loads its lists without a stream for now, in milliseconds. */
const UNSETTLED_MS = 1000

const LOST: Change = { type: 'live', live: false }

interface Options {
  url: string
  tokens: TokenSource
  connect(lastId: string | undefined, signal: AbortSignal): Promise<Response>
}

/**
 * The changes of all resources of the user, by one stream for all tabs of the browser. The stream is open while
 * somebody listens in this tab.
 */
export class Changes {
  readonly #options: Options
  readonly #listeners = new Listeners<Change>(() => this.close())
  #running: AbortController | undefined
  #tabs: Tabs<Message> | undefined
  #leading = false
  /** Undefined until the listeners were told. */
  #live: boolean | undefined
  #lastId: string | undefined

  constructor(options: Options) {
    this.#options = options
  }

  /** Whether changes arrive. */
  get live(): boolean {
    return this.#live ?? false
  }

  /** Whether the first change was told: whoever listens later has to load its lists without it. */
  get settled(): boolean {
    return this.#live !== undefined
  }

  /**
   * Listens to changes. The first one is a `reload` or `live`, unless changes arrive already.
   *
   * @returns what ends it
   */
  subscribe(listener: (change: Change) => void): () => void {
    const leave = this.#listeners.add(listener)
    this.resume()
    return leave
  }

  /** Goes on after `close()`, if somebody listens. */
  resume(): void {
    if (this.#running === undefined && this.#listeners.size > 0) this.#start()
  }

  /** Ends the stream in this tab. Another tab goes on with it. */
  close(): void {
    this.#running?.abort()
    this.#running = undefined
    this.#tabs = undefined
    this.#leading = false
    this.#lastId = undefined
    this.#onChange(LOST)
    this.#live = undefined
  }

  /** Tells the other tabs of the user that they are signed out too. */
  signOut(): void {
    const { url, tokens } = this.#options
    broadcast<Message>(url, tokens.subject, { kind: 'signed-out' })
  }

  #start(): void {
    const running = new AbortController()
    this.#running = running
    // It rejects when the stream ends before it begins: by `close`, or because the user is signed out.
    this.#run(running.signal).catch(() => {})
  }

  async #run(signal: AbortSignal): Promise<void> {
    setTimeout(() => !signal.aborted && this.#live === undefined && this.#onChange(LOST), UNSETTLED_MS)
    const subject = await this.#subject(signal)
    const tabs = new Tabs<Message>(
      { lead: (signal) => this.#lead(signal), onMessage: (one) => this.#hear(one) },
      signal
    )
    this.#tabs = tabs
    await tabs.join(this.#options.url, subject, () => tabs.post({ kind: 'hello' }))
  }

  /** Waits for a token. @throws `signed_out`, the reason of the signal */
  async #subject(signal: AbortSignal, ms = RETRY_MS): Promise<string | undefined> {
    try {
      return (await this.#options.tokens.get()).subject
    } catch (error) {
      if (error instanceof Problem && error.code === 'signed_out') throw error
    }
    // The lists try again too.
    this.#listeners.tell(LOST)
    await wait(ms, signal, true)
    return this.#subject(signal, Math.min(2 * ms, RETRY_MAX_MS))
  }

  async #lead(signal: AbortSignal): Promise<void> {
    this.#leading = true
    const source = {
      connect: this.#options.connect,
      onChange: (change: Change, id?: string) => {
        this.#tabs?.post({ kind: 'change', change, id })
        this.#onChange(change, id)
      },
      onSign: () => this.#tabs?.post({ kind: 'sign' })
    }
    await new Stream(source, this.#lastId, signal).follow()
    this.#leading = false
  }

  #hear(message: Message): void {
    if (message.kind === 'signed-out') this.#options.tokens.end()
    else if (message.kind === 'change') this.#onChange(message.change, message.id)
    else if (message.kind === 'hello' && this.#leading) {
      this.#tabs?.post({ kind: 'change', change: { type: 'live', live: this.live }, id: this.#lastId })
    }
  }

  #onChange(change: Change, id?: string): void {
    this.#lastId = id ?? this.#lastId
    const wasLive = this.#live
    if (change.type === 'live') this.#live = change.live
    if (change.type !== 'live' || change.live !== wasLive) this.#listeners.tell(change)
  }
}
