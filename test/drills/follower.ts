import { type ClientRequest, get, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { createParser, type EventSourceMessage } from 'eventsource-parser'

const AGAIN_MS = 500
/** Longer than two heartbeats. */
const SILENT_MS = 45_000
/** Longer than a heartbeat, because a stream looks for missed changes at each heartbeat. */
const LATEST_MS = 25_000

/** Follows a user's stream of changes as a page does: it reconnects with the id of the last event. */
export class Follower {
  readonly faults: string[] = []
  /** How often the stream could not be opened, and how often it ended without saying so. */
  refused = 0
  cut = 0
  reloads = 0
  readonly #user: string
  readonly #port: number
  readonly #token: () => string
  /** The expected changes, with the time at which each was requested. */
  readonly #expected = new Map<string, number>()
  readonly #told = new Set<string>()
  readonly #following: Promise<void>
  #reloaded = Number.NEGATIVE_INFINITY
  #lastId: string | undefined
  #ended = false
  #going = true
  #open: ClientRequest | undefined

  constructor(user: string, port: number, token: () => string) {
    this.#user = user
    this.#port = port
    this.#token = token
    this.#following = this.#follow()
  }

  /** Expects an acknowledged change that was requested at `begun`: its event, or a `reload` after that time. */
  expect = (change: string, begun: number) => void this.#expected.set(change, begun)

  /** Waits for the changes that are still expected, then ends. */
  async stop(): Promise<void> {
    const end = performance.now() + LATEST_MS
    while (this.#missing().length > 0 && performance.now() < end) await sleep(50)
    for (const change of this.#missing().slice(0, 3)) this.faults.push(`${this.#user}: was not told of ${change}`)
    this.#going = false
    this.#open?.destroy()
    await this.#following
  }

  #missing() {
    const missing = [...this.#expected].filter(([change, begun]) => begun > this.#reloaded && !this.#told.has(change))
    return missing.map(([change]) => change)
  }

  async #follow() {
    while (this.#going) {
      await this.#once()
      if (this.#going) await sleep(AGAIN_MS)
    }
  }

  #once(): Promise<void> {
    const lastId = this.#lastId === undefined ? {} : { 'last-event-id': this.#lastId }
    const headers = { authorization: `Bearer ${this.#token()}`, ...lastId }
    const options = { host: '127.0.0.1', port: this.#port, path: '/api/tasks/events', headers, agent: false }
    this.#ended = false
    return new Promise((resolve) => {
      this.#open = get({ ...options, timeout: SILENT_MS }, (response) => this.#read(response))
        .on('timeout', () => {
          this.faults.push(`${this.#user}: no heartbeat for ${SILENT_MS} ms`)
          this.#open?.destroy()
        })
        // The request was refused or cut, and `close` follows.
        .on('error', () => {})
        .on('close', resolve)
    })
  }

  #read(response: IncomingMessage) {
    if (response.statusCode !== 200) {
      this.refused++
      response.resume()
      return
    }
    const parser = createParser({ onEvent: (event) => this.#take(event) })
    const decoder = new TextDecoder()
    response
      .on('data', (chunk: Buffer) => parser.feed(decoder.decode(chunk, { stream: true })))
      .on('error', () => {})
      .on('close', () => {
        if (this.#going && !this.#ended) this.cut++
      })
  }

  #take({ event, data, id }: EventSourceMessage) {
    this.#lastId = id ?? this.#lastId
    if (event === 'end') this.#ended = true
    if (event === 'reload') {
      this.reloads++
      this.#reloaded = performance.now()
      this.#told.clear()
    }
    if (event !== 'created' && event !== 'updated' && event !== 'deleted') return
    const told = JSON.parse(data) as { id: string; version: number; task?: { title: string } | null }
    const change = `${told.id} ${event === 'deleted' ? 'deleted' : told.version}`
    if (this.#told.has(change)) this.faults.push(`${this.#user}: was told of ${change} twice`)
    if (told.task && !told.task.title.startsWith(`${this.#user} `)) {
      this.faults.push(`${this.#user}: was told of somebody else's task ${told.task.title}`)
    }
    this.#told.add(change)
  }
}
