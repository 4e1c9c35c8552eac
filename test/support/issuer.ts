import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { createAuthEndpoint } from 'better-auth/api'
import { betterAuth } from 'better-auth/minimal'
import { toNodeHandler } from 'better-auth/node'
import { bearer, createJwk, type JwtOptions, jwt, signJWT } from 'better-auth/plugins'
import type { Test } from 'tap'
import { fetchJson } from './http.ts'

export type Algorithm = 'EdDSA' | 'ES256' | 'ES512' | 'PS256' | 'RS256'
export const ALGORITHMS: readonly Algorithm[] = ['EdDSA', 'ES256', 'ES512', 'PS256', 'RS256']

/** The secret that the issuer signs its cookies, and the tokens of its e-mails, with. */
export const ISSUER_SECRET = 'the secret of the issuer in the tests, long enough'

const PASSWORD = 'correct horse battery staple'

export interface Session {
  /** The user's id, which is the `sub` of the tokens. */
  id: string
  email: string
  /** The session token, which the bearer plugin takes in place of the cookie. */
  session: string
  cookies: string[]
}

export type Issuer = Awaited<ReturnType<typeof startIssuer>>

/**
 * A real Better Auth server in this process, on a free port of 127.0.0.1: e-mail and password, the jwt and the bearer
 * plugin, in memory. It stops at the end of `t`.
 *
 * @param cookies whether session-cache cookies are signed with the published `keys` or with the `secret`
 * @param path of its URL, which Better Auth then takes as its whole base path
 */
export async function startIssuer(t: Test, alg: Algorithm = 'EdDSA', cookies: 'keys' | 'secret' = 'keys', path = '') {
  const db: Record<string, Record<string, unknown>[]> = {
    user: [],
    session: [],
    account: [],
    verification: [],
    jwks: []
  }
  const mails: string[] = []
  const jwtOptions: JwtOptions = { jwks: { keyPairConfig: { alg } }, sessionCookieCache: cookies === 'keys' }

  let handle: ReturnType<typeof toNodeHandler> | undefined
  let keyFetches = 0
  const server = createServer((request, response) => {
    if (request.url?.endsWith('/jwks')) keyFetches++
    void handle?.(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const stop = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  t.teardown(stop)
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const url = origin + path

  const auth = betterAuth({
    baseURL: url,
    secret: ISSUER_SECRET,
    database: memoryAdapter(db),
    emailAndPassword: { enabled: true },
    emailVerification: { sendVerificationEmail: async ({ token }) => void mails.push(token) },
    session: { cookieCache: { enabled: true, strategy: 'jwt', maxAge: 300 } },
    telemetry: { enabled: false },
    logger: { disabled: true },
    plugins: [
      bearer(),
      jwt(jwtOptions),
      {
        id: 'test-keys',
        endpoints: {
          // What its plugins call to sign id, logout and OAuth access tokens.
          mint: createAuthEndpoint('/mint', { method: 'POST' }, async (context) => {
            const { payload, header } = context.body as { payload: Record<string, unknown>; header?: { typ: string } }
            return { token: await signJWT(context, { options: jwtOptions, payload, ...(header && { header }) }) }
          }),
          rotate: createAuthEndpoint('/rotate', { method: 'POST' }, async (context) => {
            // It signs with the newest, by the millisecond.
            for (const key of db.jwks ?? []) key.createdAt = new Date(Number(key.createdAt) - 1000)
            return { kid: (await createJwk(context, jwtOptions)).id }
          })
        }
      }
    ]
  })
  handle = toNodeHandler(auth)

  async function call<T>(endpoint: string, body?: object, headers: Record<string, string> = {}) {
    const answer = await fetchJson<T>(`${url}${path === '' ? '/api/auth' : ''}${endpoint}`, {
      headers: { origin, 'content-type': 'application/json', ...headers },
      body
    })
    if (!answer.ok) throw new Error(`${endpoint}: ${answer.status} ${answer.text}`)
    return { answer: answer.json(), cookies: answer.headers.getSetCookie() }
  }

  return {
    url,
    /** How often the key set was fetched. */
    keyFetches: () => keyFetches,
    /** The tokens of the verification e-mails that were sent. */
    mails,

    async signUp(): Promise<Session> {
      const email = `${randomUUID()}@example.com`
      const credentials = { email, password: PASSWORD }
      await call('/sign-up/email', { ...credentials, name: 'Zoë' })
      const { answer, cookies } = await call<{ token: string; user: { id: string } }>('/sign-in/email', credentials)
      return { id: answer.user.id, email, session: answer.token, cookies }
    },

    /** The API token of a signed-in user, as the page of the app gets it. */
    async token({ session }: Session): Promise<string> {
      const { answer } = await call<{ token: string }>('/token', undefined, { authorization: `Bearer ${session}` })
      return answer.token
    },

    async sendVerificationMail({ email }: Session): Promise<void> {
      await call('/send-verification-email', { email })
    },

    /** Signs claims as the issuer's plugins do; `iss`, `aud` and `exp` have its defaults. */
    async mint(payload: object, typ?: string): Promise<string> {
      const header = typ === undefined ? undefined : { typ }
      return (await call<{ token: string }>('/mint', { payload, header })).answer.token
    },

    /** Makes a new key, which is used from now on; the old ones stay published. Returns its kid. */
    rotate: async () => (await call<{ kid: string }>('/rotate', {})).answer.kid,

    /** Refuses connections from now on. */
    stop
  }
}
