import type { AddressInfo } from 'node:net'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/**
 * A client of an application in this process: `await client(app, asUser('alice'), '/api/notes')('POST', '', { … })`. It
 * asks for paths below `base`, and sends `headers` with each request. A payload of text is sent as JSON unless the
 * request names another content type.
 */
export const client =
  (app: FastifyInstance, headers: Record<string, string>, base: string) =>
  (
    method: Method,
    path = '',
    payload?: object | string,
    more: Record<string, string> = {}
  ): Promise<LightMyRequestResponse> =>
    app.inject({
      method,
      url: base + path,
      headers: { ...headers, ...(typeof payload === 'string' && { 'content-type': 'application/json' }), ...more },
      ...(payload !== undefined && { payload })
    })

/** Lets an application listen on a free port of 127.0.0.1, unless it listens already. Returns the port. */
export async function listen(app: FastifyInstance): Promise<number> {
  if (!app.server.listening) await app.listen({ host: '127.0.0.1', port: 0 })
  return (app.server.address() as AddressInfo).port
}
