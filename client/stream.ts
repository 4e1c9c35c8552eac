import { createParser, type EventSourceMessage } from 'eventsource-parser'
import { Problem } from './problem.ts'
import { orAborted, wait } from './time.ts'
import type { Row } from './types.ts'

/** What the stream of changes tells. */
export type Change =
  /** Load the lists: changes may be missing. */
  | { type: 'reload' }
  /** Whether changes arrive. */
  | { type: 'live'; live: boolean }
  /** The item is null when it is gone by now. Its version may be newer than `version`. */
  | { type: 'created' | 'updated' | 'deleted'; resource: string; id: string; version: number; item: Row | null }

/** A stream that sends nothing for so long is dead: the service sends a comment every 20 seconds. */
export const SILENCE_MS = 45_000

/** A stream that ends sooner has a token that expires at once, by the clock of the service. */
const SHORT_MS = 5000

/** The wait before the first retry, in milliseconds. It doubles up to the second value. */
export const RETRY_MS = 1000
export const RETRY_MAX_MS = 30_000

interface Source {
  /** Opens the stream after the event `lastId`. */
  connect(lastId: string | undefined, signal: AbortSignal): Promise<Response>
  /** Told each change with the id of its event, and the rest without. */
  onChange(change: Change, id?: string): void
  /** Called when anything arrives, and before each connection. */
  onSign(): void
}

function changeOf({ event, data }: EventSourceMessage): Change | undefined {
  if (event === 'reload') return { type: event }
  if (event !== 'created' && event !== 'updated' && event !== 'deleted') return undefined
  const { resource, id, version, ...rest } = JSON.parse(data)
  // The item is the one member that is left: its name is that of the resource in the singular.
  const [item = null] = Object.values(rest) as (Row | null)[]
  return { type: event, resource, id, version, item }
}

/** Follows the stream of changes, over lost connections, until the signal aborts or the user is signed out. */
export class Stream {
  readonly #source: Source
  readonly #signal: AbortSignal
  #lastId: string | undefined
  #retryMs = RETRY_MS
  #failures = 0
  #live: boolean | undefined
  /** Why the service ended the stream. */
  #reason: string | undefined

  constructor(source: Source, lastId: string | undefined, signal: AbortSignal) {
    this.#source = source
    this.#lastId = lastId
    this.#signal = signal
  }

  async follow(): Promise<void> {
    for (let wasShort = false; !this.#signal.aborted; ) {
      const opened = Date.now()
      this.#reason = undefined
      const problem = await this.#read().catch((error: unknown) => error)
      if (this.#signal.aborted) return
      // With a new token the stream goes on at once, unless that one has expired as soon.
      const isShort = Date.now() - opened < SHORT_MS
      if (this.#reason === 'token_expired' && !(isShort && wasShort)) {
        wasShort = isShort
        continue
      }
      // A stream that the service ends for a reason is no failure.
      if (this.#reason === undefined) this.#failures++
      this.#tellLive(false)
      await wait(this.#delay(problem), this.#signal, true).catch(() => {})
    }
  }

  /** Reads one connection until it ends. Rejects when it cannot be opened, breaks, or is silent. */
  async #read(): Promise<void> {
    const silence = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const listen = () => {
      this.#source.onSign()
      clearTimeout(timer)
      timer = setTimeout(() => silence.abort(), SILENCE_MS)
    }
    const parser = createParser({
      onRetry: (ms) => {
        this.#retryMs = ms
      },
      onEvent: (message) => this.#onEvent(message)
    })
    const decoder = new TextDecoder()
    // A signal without a listener of its own may be collected as garbage, and then it aborts nothing.
    const signal = AbortSignal.any([this.#signal, silence.signal])
    listen()
    try {
      const { body } = await orAborted(this.#source.connect(this.#lastId, signal), signal)
      const reader = (body as ReadableStream<Uint8Array>).getReader()
      // Not all runtimes end the body when the signal of a request that was cloned aborts.
      signal.addEventListener('abort', () => Promise.allSettled([reader.cancel()]))
      // A stream that is resumed tells only what was missed, which may be nothing.
      if (this.#lastId !== undefined) this.#tellLive(true)
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        listen()
        parser.feed(decoder.decode(part.value, { stream: true }))
      }
    } finally {
      clearTimeout(timer)
    }
  }

  #onEvent(message: EventSourceMessage): void {
    this.#failures = 0
    if (message.event === 'end') {
      this.#reason = JSON.parse(message.data).reason
      return
    }
    this.#lastId = message.id ?? this.#lastId
    const change = changeOf(message)
    if (change !== undefined) this.#source.onChange(change, this.#lastId)
    this.#tellLive(true)
  }

  #tellLive(live: boolean): void {
    if (live === this.#live) return
    this.#live = live
    this.#source.onChange({ type: 'live', live })
  }

  /** Milliseconds until the next try. Random, so that the tabs of a server that was down do not come at once. */
  #delay(problem: unknown): number {
    const asked = problem instanceof Problem ? (problem.retryAfter ?? 0) * 1000 : 0
    return Math.max(Math.min(this.#retryMs * 2 ** this.#failures, RETRY_MAX_MS), asked) * (0.5 + Math.random())
  }
}
