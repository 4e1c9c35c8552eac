import type { App } from '../src/http/application.ts'

/** Serves the OpenAPI document, and redirects `/` to the documentation page, or to the document without a page. */
export default async function root(app: App): Promise<void> {
  const { docs } = app.config

  app.get('/', { schema: { hide: true } }, (_request, reply) => reply.redirect(docs ? '/docs' : '/openapi.json'))

  let document: string
  app.get('/openapi.json', { schema: { hide: true } }, (_request, reply) => {
    document ??= JSON.stringify(app.swagger())
    // The document changes with a release. Clients must then see the new one at once.
    return reply.header('cache-control', 'no-cache').type('application/json; charset=utf-8').send(document)
  })
}
