import { createParser } from 'eventsource-parser'
import { fetchToken } from './auth.ts'

/** A task as Rowkeeper answers it (`/openapi.json` is the whole contract). */
export interface Task {
  id: string
  title: string
  description: string | null
  completed: boolean
  dueAt: string | null
  createdAt: string
  version: number
}

export type Draft = Pick<Task, 'title'> & Partial<Pick<Task, 'description' | 'completed' | 'dueAt'>>

export interface Page {
  tasks: Task[]
  /** Where the next page is, if there is one. */
  next: string | null
}

/** What can come over the stream of changes. */
export type Change = { type: 'reload' } | { type: 'put'; task: Task } | { type: 'remove'; id: string }

/** An answer of Rowkeeper that is an error: a problem document (RFC 9457). */
export class Problem extends Error {
  readonly status: number
  readonly code: string

  constructor({ status, code, detail }: { status: number; code: string; detail: string }) {
    super(detail)
    this.status = status
    this.code = code
  }
}

/** What a proxy answers may be no problem document. */
const problemOf = async (response: Response) =>
  new Problem(
    await response
      .json()
      .catch(() => ({ status: response.status, code: '', detail: `the server answered ${response.status}` }))
  )

const TRIES = 3
/** It sends something every 20 seconds; a stream that is silent for this long is dead. */
const SILENCE_MS = 45_000

const seconds = (count: number) => new Promise((resolve) => setTimeout(resolve, count * 1000))

export type Api = ReturnType<typeof createApi>

/**
 * Rowkeeper, for the user who is signed in: one for each of them, since it keeps their token.
 *
 * @param onWait told when Rowkeeper asks to wait so many seconds; then it is asked again
 */
export function createApi(onWait: (status: number, seconds: number) => void) {
  // Of many requests that find it expired the first fetches a new one, and the others wait for that.
  let token: Promise<string> | undefined

  async function request(path: string, init: RequestInit = {}, tries = TRIES): Promise<Response> {
    let renewed = false
    for (let left = tries; ; left--) {
      token ??= fetchToken()
      const used = token
      const bearer = await used.catch((error) => {
        token = undefined
        throw error
      })
      const response = await fetch(new URL(path, import.meta.env.VITE_API_URL), {
        ...init,
        headers: { ...init.headers, authorization: `Bearer ${bearer}` }
      })
      if (response.ok) return response
      if (response.status === 401 && !renewed) {
        renewed = true
        if (token === used) token = undefined
        left++
        continue
      }
      // 429 and 503 say when to come again. Nothing is done twice by it: a create has a key, a change its version.
      const wait = Number(response.headers.get('retry-after'))
      if (!(wait > 0) || left === 1) throw await problemOf(response)
      onWait(response.status, wait)
      await seconds(wait)
    }
  }

  const send = (method: string, path: string, body: object, headers: Record<string, string>) =>
    request(path, { method, body: JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers } })

  return {
    async list(path: string): Promise<Page> {
      const response = await request(path)
      const [, next = null] = /<([^>]+)>; rel="next"/.exec(response.headers.get('link') ?? '') ?? []
      return { tasks: await response.json(), next }
    },

    async get(id: string): Promise<Task> {
      return (await request(`/api/tasks/${id}`)).json()
    },

    /** @param key of this create; sent again with the same it is done once */
    async create(draft: Draft, key: string): Promise<Task> {
      return (await send('POST', '/api/tasks', draft, { 'idempotency-key': key })).json()
    },

    /** @param version that the change was made to, if that matters: a 412 when the task has another by now */
    async update(id: string, change: Partial<Draft>, version?: number): Promise<Task> {
      const condition = version === undefined ? {} : { 'if-match': `"${version}"` }
      return (await send('PATCH', `/api/tasks/${id}`, change, condition)).json()
    },

    async remove({ id, version }: Task): Promise<void> {
      await request(`/api/tasks/${id}`, { method: 'DELETE', headers: { 'if-match': `"${version}"` } })
    },

    /**
     * Follows the changes to the user's tasks, wherever they are made, until `signal` aborts. By `fetch`, since an
     * EventSource cannot send a token.
     *
     * @param onLive told whether the stream is open, each time that changes
     */
    async follow(onChange: (change: Change) => void, onLive: (live: boolean) => void, signal: AbortSignal) {
      let lastId: string | undefined
      let delay = 1
      let expired = false
      const parser = createParser({
        onRetry: (ms) => {
          delay = ms / 1000
        },
        onEvent: ({ id, event, data }) => {
          lastId = id ?? lastId
          const { id: changed, task, reason } = JSON.parse(data)
          if (event === 'reload') onChange({ type: 'reload' })
          else if (event === 'deleted') onChange({ type: 'remove', id: changed })
          else if (event === 'end') expired = reason === 'token_expired'
          else if (task) onChange({ type: 'put', task })
        }
      })
      for (let failures = 0; !signal.aborted; ) {
        const stale = new AbortController()
        let timer: ReturnType<typeof setTimeout> | undefined
        try {
          const headers: HeadersInit = lastId === undefined ? {} : { 'last-event-id': lastId }
          const either = AbortSignal.any([signal, stale.signal])
          const { body } = await request('/api/tasks/events', { headers, cache: 'no-store', signal: either }, 1)
          const reader = (body as NonNullable<typeof body>).pipeThrough(new TextDecoderStream()).getReader()
          onLive(true)
          failures = 0
          for (;;) {
            timer = setTimeout(() => stale.abort(), SILENCE_MS)
            const { done, value } = await reader.read()
            clearTimeout(timer)
            if (done) break
            parser.feed(value)
          }
        } catch {
          failures++
        }
        clearTimeout(timer)
        parser.reset()
        if (signal.aborted) return
        if (expired) {
          expired = false
          continue
        }
        onLive(false)
        // All the windows of a server that went away do not come back in the same moment.
        await seconds(Math.min(delay * 2 ** failures, 30) * (0.5 + Math.random()))
      }
    }
  }
}
