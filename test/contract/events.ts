import { createParser, type EventSourceMessage } from 'eventsource-parser'
import type { FastifyInstance } from 'fastify'
import { asUser } from './application.ts'
import { listen } from './http.ts'
import { type NodeContext, testOf } from './node-test.ts'
import type { Test } from './test.ts'

/** An event, or a comment as one that has no data. */
export type Told = Pick<EventSourceMessage, 'event' | 'id' | 'data'>

/** An open stream of events, read as a page reads it. */
export interface Watch {
  response: Response
  /** The next event; undefined when the stream is over. */
  next(): Promise<Told | undefined>
  /** The next `n` as `[kind, id of the item, version]`. */
  changes(n: number): Promise<[string | undefined, string, number][]>
  /** The id of the last event that was taken. */
  lastId: string | undefined
  /** How many milliseconds the last event asked to wait before coming again. */
  retry: number | undefined
  close(): void
}

export interface WatchOptions {
  url: string
  /** The id of the last event that the client has. */
  lastId?: string | undefined
  /** The claims of the token, or the headers of the request. */
  claims?: object
  headers?: { authorization: string }
}

/**
 * Opens a stream of events for a user: `await watch(t, app, 'alice', { url: '/api/notes/events' })`. It closes at the
 * end of the test. The application listens from the first one on.
 */
export async function watch(
  t: Test | NodeContext,
  app: FastifyInstance,
  user: string,
  { url, lastId, claims = {}, headers = asUser(user, claims) }: WatchOptions
): Promise<Watch> {
  const port = await listen(app)
  const controller = new AbortController()
  testOf(t).teardown(() => controller.abort())
  const response = await fetch(`http://127.0.0.1:${port}${url}`, {
    headers: { ...headers, ...(lastId !== undefined && { 'last-event-id': lastId }) },
    signal: controller.signal
  })
  const got: Told[] = []
  const parser = createParser({
    onEvent: (event) => got.push(event),
    onRetry: (ms) => (watch.retry = ms),
    onComment: () => got.push({ event: 'comment', id: undefined, data: '' })
  })
  const chunks = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader()
  const watch: Watch = {
    response,
    lastId,
    retry: undefined,
    async next() {
      for (;;) {
        const event = got.shift()
        if (event !== undefined) {
          watch.lastId = event.id ?? watch.lastId
          return event
        }
        const { done, value } = await chunks.read()
        if (done) return undefined
        parser.feed(value)
      }
    },
    async changes(n) {
      const all: [string | undefined, string, number][] = []
      while (all.length < n) {
        const { event, data } = (await watch.next()) as Told
        const { id, version } = JSON.parse(data)
        all.push([event, id, version])
      }
      return all
    },
    close: () => controller.abort()
  }
  return watch
}
