import { Type } from '@sinclair/typebox'
import type { User } from '../../../src/auth/user.ts'
import type { App } from '../../../src/http/application.ts'
import { problems } from '../../../src/http/openapi.ts'

const Session = Type.Object(
  {
    user: Type.Union([
      Type.Object(
        {
          sub: Type.String({ description: "The user's identifier", examples: ['alice'] }),
          scope: Type.Unsafe<string[] | null>({
            type: ['array', 'null'],
            items: { type: 'string' },
            description: 'The scopes of the token; null when the token is unrestricted'
          }),
          expiresAt: Type.Unsafe<string | null>({ type: ['string', 'null'], format: 'date-time' })
        },
        { additionalProperties: false }
      ),
      Type.Null()
    ])
  },
  { title: 'Session', additionalProperties: false, description: 'The verified caller, or null' }
)

export default async function session(app: App): Promise<void> {
  app.get(
    '/',
    {
      config: { caller: 'optional' },
      schema: {
        operationId: 'getSession',
        summary: 'Who the caller is',
        description: 'A token that is not valid counts as no token here.',
        tags: ['session'],
        security: [{ bearer: [] }, {}],
        response: {
          200: Session,
          ...problems('bad_request', 'headers_too_large', 'rate_limited', 'too_many_in_flight', 'keys_unavailable')
        }
      }
    },
    (request) => {
      const user: User | null = request.user
      if (user === null) return { user }
      const { sub, scope, expiresAt } = user
      return {
        user: {
          sub,
          scope: scope === null ? null : [...scope],
          expiresAt: expiresAt === null ? null : new Date(expiresAt * 1000).toISOString()
        }
      }
    }
  )
}
