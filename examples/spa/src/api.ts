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

  async function request(path: string, init: RequestInit = {}): Promise<Response> {
    let renewed = false
    for (let left = TRIES; ; left--) {
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
    }
  }
}
