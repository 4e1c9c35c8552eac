import { Type } from '@sinclair/typebox'
import { metadataOf } from '../../../src/auth/metadata.ts'
import type { App } from '../../../src/http/application.ts'
import { problems } from '../../../src/http/openapi.ts'
import { Problem } from '../../../src/http/problems.ts'

const Metadata = Type.Object(
  {
    resource: Type.String({ format: 'uri', examples: ['https://api.example.com'] }),
    authorization_servers: Type.Array(Type.String(), { examples: [['https://app.example.com']] }),
    scopes_supported: Type.Array(Type.String()),
    bearer_methods_supported: Type.Array(Type.Literal('header')),
    resource_name: Type.String()
  },
  { title: 'ProtectedResource', additionalProperties: false, description: 'RFC 9728' }
)

/** Protected-resource metadata, when the mode is published keys: a shared secret has no issuer to point at. */
export default async function protectedResource(app: App): Promise<void> {
  const { auth } = app.config
  if (auth.jwksUrl === undefined) return

  app.get(
    '/',
    {
      schema: {
        operationId: 'getProtectedResourceMetadata',
        summary: 'Who issues the tokens, and how to present them',
        description: 'RFC 9728; `WWW-Authenticate` names it in `resource_metadata`.',
        tags: ['session'],
        security: [],
        response: { 200: Metadata, ...problems('bad_request', 'headers_too_large') }
      }
    },
    (request, reply) => {
      const metadata = metadataOf(auth, request)
      // It depends on the host that was asked for, so no cache may answer it to somebody else.
      reply.header('cache-control', 'no-store')
      if (metadata === undefined) throw new Problem('bad_request')
      return metadata
    }
  )
}
