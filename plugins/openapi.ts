import fastifyHelmet from '@fastify/helmet'
import fastifySwagger from '@fastify/swagger'
import fastifySwaggerUi from '@fastify/swagger-ui'
import fp from 'fastify-plugin'
import { describeTags, nameSchemas } from '../src/http/openapi.ts'
import type { Info } from '../src/project.ts'
import { version } from '../src/version.ts'

// The page loads nothing from other origins. Its widgets need inline styles. Inline scripts are forbidden.
const CONTENT_SECURITY_POLICY = {
  'default-src': ["'self'"],
  'base-uri': ["'none'"],
  'form-action': ["'none'"],
  'frame-ancestors': ["'none'"],
  'img-src': ["'self'", 'data:'],
  'object-src': ["'none'"],
  'script-src': ["'self'"],
  'style-src': ["'self'", "'unsafe-inline'"]
}

interface Options {
  /** What the document says of the API. */
  info?: Info
}

const OWN: Info = { title: 'Rowkeeper', version, license: 'MIT' }

/** Generates the OpenAPI document from the routes. Serves the documentation page, unless `DOCS=off`. */
export default fp(
  async (app, { info: { title, version, license } = OWN }: Options) => {
    await app.register(fastifySwagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title,
          version,
          description:
            'The rows of the signed-in user, and of nobody else. ' +
            'Send the JWT of your Better Auth server as a bearer token. ' +
            'Errors are problem details (RFC 9457) whose `code` is stable.',
          ...(license !== undefined && { license: { name: license, identifier: license } })
        },
        servers: [{ url: '/' }],
        tags: [
          { name: 'events', description: "The changes of the caller's rows, whatever they are" },
          { name: 'batch', description: "Operations on the caller's rows, whatever they are, in one transaction" },
          { name: 'session', description: 'Who the caller is' },
          { name: 'health', description: 'For load balancers and orchestrators' }
        ],
        components: {
          securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } }
        }
      },
      transformObject: (input) =>
        describeTags(nameSchemas((input as Extract<typeof input, { openapiObject: object }>).openapiObject))
    })
    // Two schemas of one name end the start, not the first request for the document.
    app.addHook('onReady', async () => void app.swagger())
    if (!app.config.docs) return
    await app.register(async (page) => {
      await page.register(fastifyHelmet, {
        contentSecurityPolicy: { useDefaults: false, directives: CONTENT_SECURITY_POLICY },
        xFrameOptions: { action: 'deny' },
        // `plugins/headers.ts` sends it.
        strictTransportSecurity: false
      })
      // Browsers revalidate the files by their ETag. The page has none, but it is short.
      page.addHook('onRequest', (_request, reply, done) => {
        reply.header('cache-control', 'no-cache')
        done()
      })
      await page.register(fastifySwaggerUi, {
        routePrefix: '/docs',
        theme: { title },
        uiConfig: { layout: 'BaseLayout', deepLinking: true, tryItOutEnabled: true, displayRequestDuration: true }
      })
    })
  },
  { name: 'openapi' }
)
