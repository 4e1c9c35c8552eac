import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A server of key sets that does what a test tells it to, on a free port of 127.0.0.1. It stops at the end of `t`. */
export async function keyServer(t: { teardown(stop: () => unknown): void }, first: RequestListener = publish([])) {
  let answer = first
  let fetches = 0
  const server = createServer((request, response) => {
    fetches++
    answer(request, response)
  })
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  await listen(0)
  const { port } = server.address() as AddressInfo
  const stop = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  t.teardown(stop)
  return {
    url: `http://127.0.0.1:${port}/jwks`,
    fetches: () => fetches,
    answer: (next: RequestListener) => {
      answer = next
    },
    /** Refuses connections from now on. */
    stop,
    start: () => listen(port)
  }
}

/** Answers a key set. */
export const publish = (keys: unknown[]) => send(JSON.stringify({ keys }))

/** Answers text, or bytes. */
export const send =
  (body: string | Buffer, status = 200, headers: Record<string, string> = {}): RequestListener =>
  (_request, response: ServerResponse) =>
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body)

/** Waits until something holds, as many turns of the event loop as it takes. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve))
}
