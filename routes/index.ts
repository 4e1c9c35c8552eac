import type { App } from '../src/http/application.ts'

/** The front door: the documentation page, or the document where there is no page. */
export default async function root(app: App): Promise<void> {
  const { docs } = app.config

  app.get('/', { schema: { hide: true } }, (_request, reply) => reply.redirect(docs ? '/docs' : '/openapi.json'))

  let document: string
  app.get('/openapi.json', { schema: { hide: true } }, (_request, reply) => {
    document ??= JSON.stringify(app.swagger())
    // It changes with a release, and then at once.
    return reply.header('cache-control', 'no-cache').type('application/json; charset=utf-8').send(document)
  })
}
