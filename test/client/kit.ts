import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { createClient, live } from '../../client/index.ts'
import type { Row } from '../../client/types.ts'
import { build, newUser, tokenFor } from '../support/app.ts'
import { listen } from '../support/http.ts'

export interface Task extends Row {
  title: string
  description: string | null
  completed: boolean
  dueAt: string | null
  createdAt: string
  updatedAt: string
}

type NewTask = { id?: string; title: string } & Partial<Pick<Task, 'description' | 'completed' | 'dueAt'>>

/** The members of tasks in random steps: equal ones, and those that are easily taken for each other. */
export const randomMembers = fc.record({
  title: fc.constantFrom('a', 'B', 'ab', 'Z', 'ß', 'zebra', 'A'),
  completed: fc.boolean(),
  dueAt: fc.constantFrom(null, '2030-01-31T10:00:00+01:00', '2031-01-31T10:00:00.5Z')
})

interface Body<T> {
  content: { 'application/json': T }
}

/** The types of `/api/tasks`, as openapi-typescript makes them. `test/typed-client` uses the real ones. */
export interface Paths {
  '/api/tasks': {
    get: {
      parameters: {
        query?: { limit?: number; sort?: string; completed?: boolean; q?: string; cursor?: string; count?: 'exact' }
      }
      responses: { 200: Body<Task[]> }
    }
    post: { requestBody: Body<NewTask>; responses: { 201: Body<Task> } }
  }
  '/api/tasks/{id}': {
    get: { parameters: { path: { id: string } }; responses: { 200: Body<Task> } }
    patch: { requestBody: Body<Partial<Omit<NewTask, 'id'>>>; responses: { 200: Body<Task> } }
  }
  '/api/session': { get: { responses: { 200: Body<{ user: { sub: string } | null }> } } }
}

/** What happens to a request: it is answered, its connection is cut before or after the service did it, or neither. */
export type Fault =
  | 'cut before'
  | 'cut after'
  | 'hang'
  | { status: number; headers?: Record<string, string>; body: string }

/** The answer of the service to a request that it sheds. */
export const problem = (status: number, code: string, retryAfter?: string): Fault => ({
  status,
  headers: { 'content-type': 'application/problem+json', ...(retryAfter && { 'retry-after': retryAfter }) },
  body: JSON.stringify({ type: 'about:blank', title: 'x', status, detail: `the detail of ${code}`, code })
})

/** Answers what the service does not. Returns whether it did. */
type Beside = (request: IncomingMessage, response: ServerResponse) => boolean

/** The service behind a proxy that breaks what the test tells it to. */
export async function serve(
  t: Test,
  env: Record<string, string> = {},
  extend?: (app: FastifyInstance) => Promise<void>,
  beside: Beside = () => false
) {
  let app = await build(t, env, extend)
  let port = await listen(app)
  let faultOf: (request: IncomingMessage) => Fault | undefined = () => undefined
  const seen: { method: string; url: string; headers: IncomingMessage['headers'] }[] = []
  const open = new Set<ServerResponse>()
  // The answers say how long the service keeps a connection. Node's server would end it earlier, and with it a request.
  const server = createServer({ keepAliveTimeout: 0 }, async (request, response) => {
    const { method = '', url = '', headers } = request
    if (beside(request, response)) return
    seen.push({ method, url, headers })
    const fault = faultOf(request)
    open.add(response)
    response.on('close', () => open.delete(response))
    if (fault === 'cut before') return void request.socket.destroy()
    if (fault === 'hang') return
    if (typeof fault === 'object') {
      request.resume()
      return void response.writeHead(fault.status, fault.headers).end(fault.body)
    }
    const onward = httpRequest({ host: '127.0.0.1', port, method, path: url, headers })
    onward.on('error', () => response.destroy())
    response.on('close', () => onward.destroy())
    request.pipe(onward)
    const [answer] = (await once(onward, 'response').catch(() => [])) as [IncomingMessage?]
    if (answer === undefined) return
    if (fault === 'cut after') {
      answer.resume()
      await once(answer, 'end')
      return void request.socket.destroy()
    }
    response.writeHead(answer.statusCode ?? 0, answer.headers)
    response.flushHeaders()
    answer.on('error', () => response.destroy())
    answer.pipe(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return {
    get app() {
      return app
    },
    /** Stops the service and starts it again. In between it cannot be reached. */
    async restart() {
      await app.close()
      app = await build(t, env, extend)
      port = await listen(app)
    },
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    /** How many requests had this method, and a URL that begins so. */
    count: (method: string, path = '/api/tasks') =>
      seen.filter((one) => one.method === method && one.url.startsWith(path)).length,
    /** How many pages of tasks were asked for. */
    lists: () => seen.filter(({ method, url }) => method === 'GET' && /^\/api\/tasks(?:\?|$)/.test(url)).length,
    /** Breaks requests from now on, as the function says. */
    fault(next: typeof faultOf) {
      faultOf = next
    },
    /** Breaks the next `count` requests with this method. */
    faultNext(method: string, fault: Fault, count = 1) {
      let left = count
      faultOf = (request) =>
        request.method === method && !request.url?.includes('/events') && left-- > 0 ? fault : undefined
    },
    /** Cuts every connection that waits for an answer, or is in one. */
    cutAll() {
      for (const response of open) response.destroy()
    }
  }
}

export type Served = Awaited<ReturnType<typeof serve>>

/** A client of one user, which ends with the test. */
export function clientFor(t: Test, { url }: { url: string }, user = newUser(), options: object = {}) {
  const client = createClient<Paths>({ url, token: async () => tokenFor(user), ...options })
  t.teardown(() => client.close())
  return { client, tasks: client.resource('/api/tasks'), user }
}

export type Tab = ReturnType<typeof clientFor>
export type Query = NonNullable<Parameters<Tab['tasks']['list']>[0]>

/** A live query that is listened to until the end of the test. */
export function watch(t: Test, tab: Tab, query: Query = {}) {
  const list = live(tab.tasks, query)
  t.teardown(list.subscribe(() => {}))
  return list
}

/** Waits until a store shows what is asked for. */
export async function shows<T>(
  store: { subscribe(listener: () => void): () => void; getSnapshot(): T },
  holds: (snapshot: T) => boolean
): Promise<T> {
  return new Promise((resolve) => {
    const look = () => {
      const snapshot = store.getSnapshot()
      if (!holds(snapshot)) return
      setImmediate(() => leave())
      resolve(snapshot)
    }
    const leave = store.subscribe(look)
    look()
  })
}
