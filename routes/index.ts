import { createHash } from 'node:crypto'
import type { App } from '../src/http/application.ts'
import { isUnchanged } from '../src/http/entity-tag.ts'

const made = (json: string) => ({
  json,
  etag: `"${createHash('sha256').update(json).digest('base64url').slice(0, 22)}"`
})

/** Serves the OpenAPI document, and redirects `/` to the documentation page, or to the document without a page. */
export default async function root(app: App): Promise<void> {
  const { docs } = app.config

  app.get('/', { schema: { hide: true } }, (_request, reply) => reply.redirect(docs ? '/docs' : '/openapi.json'))

  let document: { json: string; etag: string } | undefined
  app.get('/openapi.json', { schema: { hide: true } }, (request, reply) => {
    document ??= made(JSON.stringify(app.swagger()))
    const { json, etag } = document
    // The document changes with a release. Clients must then see the new one at once.
    reply.header('cache-control', 'no-cache').header('etag', etag)
    if (isUnchanged(request.headers, etag)) return reply.code(304).send()
    return reply.type('application/json; charset=utf-8').send(json)
  })
}
