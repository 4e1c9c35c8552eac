import { request as httpRequest, type IncomingHttpHeaders, type RequestOptions } from 'node:http'
import { connect, type Socket, type TcpNetConnectOpts } from 'node:net'
import { text } from 'node:stream/consumers'
import type { FastifyInstance } from 'fastify'
import { client as clientOf } from '../contract/http.ts'

// The HTTP client of the tests. `client` asks an application in this process, `send` and `openSocket` work on the bytes
// of a connection, and `fetchJson` and `exchange` ask a server.

export { listen, type Method } from '../contract/http.ts'

type Fields = Record<string, string>

/** A client of an application in this process (`test/contract/http.ts`): of the tasks, unless another base is given. */
export const client = (app: FastifyInstance, headers: Fields, base = '/api/tasks'): ReturnType<typeof clientOf> =>
  clientOf(app, headers, base)

/** Opens a connection to a port of 127.0.0.1. */
export const openSocket = (port: number, options: Partial<TcpNetConnectOpts> = {}): Socket =>
  connect({ port, host: '127.0.0.1', ...options })

/** The text of a request in HTTP/1.1. */
export function requestText(method: string, path: string, headers: Fields = {}, body = ''): string {
  const lines = Object.entries({ Host: 'x', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`
}

/** Sends exactly these bytes on a new connection, and reads what the server sends until the connection ends. */
export async function send(port: number, bytes: string) {
  const socket = openSocket(port)
  socket.write(bytes)
  const received = await text(socket)
  const [head = '', body = ''] = received.split('\r\n\r\n')
  /** The status, head and body of the first answer, and the text of all answers. */
  return { status: Number(head.split(' ')[1]), head, body, text: received }
}

interface Answer<T> {
  status: number
  ok: boolean
  headers: Headers
  text: string
  json(): T
}

/** Asks a server by `fetch`, with a JSON body if there is one. */
export async function fetchJson<T = unknown>(
  url: string | URL,
  { method, headers, body }: { method?: string; headers?: Fields; body?: object | undefined } = {}
): Promise<Answer<T>> {
  const response = await fetch(url, {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: { ...(body && { 'content-type': 'application/json' }), ...headers },
    ...(body && { body: JSON.stringify(body) })
  })
  const received = await response.text()
  return {
    status: response.status,
    ok: response.ok,
    headers: response.headers,
    text: received,
    json: () => JSON.parse(received) as T
  }
}

/** Asks a server by `node:http`. The status is 0 when there was no answer. */
export function exchange(options: RequestOptions, body?: string) {
  return new Promise<{ status: number; body: string; headers: IncomingHttpHeaders }>((resolve) => {
    const done = (status: number, body = '', headers: IncomingHttpHeaders = {}) => resolve({ status, body, headers })
    const out = httpRequest({ host: '127.0.0.1', ...options }, (answer) => {
      let received = ''
      answer.on('data', (chunk) => (received += chunk))
      answer.on('end', () => done(answer.statusCode ?? 0, received, answer.headers))
      answer.on('error', () => done(0))
    })
    out.on('timeout', () => out.destroy())
    out.on('error', () => done(0))
    out.end(body)
  })
}
