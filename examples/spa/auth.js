import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { betterAuth } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { toNodeHandler } from 'better-auth/node'
import { jwt } from 'better-auth/plugins'

/**
 * A Better Auth server at `url`, for the pages of the origin `web`: e-mail and password, and the jwt plugin, whose tokens
 * Rowkeeper takes. It keeps its users in memory, so they are gone when it stops.
 *
 * @param {{ url: string, web: string, tokenLifetime: string }} options `tokenLifetime` such as `15m`
 */
export async function startAuth({ url, web, tokenLifetime }) {
  const auth = betterAuth({
    baseURL: url,
    trustedOrigins: [web],
    secret: randomBytes(32).toString('base64'),
    database: memoryAdapter({ user: [], session: [], account: [], verification: [], jwks: [] }),
    emailAndPassword: { enabled: true },
    plugins: [jwt({ jwt: { expirationTime: tokenLifetime } })],
    telemetry: { enabled: false }
  })
  const handle = toNodeHandler(auth)

  const server = createServer((request, response) => {
    // `trustedOrigins` is about forged requests; what a page of another origin may read is for CORS to say.
    response.setHeader('access-control-allow-origin', web)
    response.setHeader('access-control-allow-credentials', 'true')
    response.setHeader('access-control-allow-headers', 'content-type')
    response.setHeader('vary', 'origin')
    if (request.method === 'OPTIONS') response.writeHead(204).end()
    else handle(request, response)
  })
  const { hostname, port } = new URL(url)
  await new Promise((resolve, reject) =>
    server.once('error', reject).listen(Number(port), hostname, () => resolve(null))
  )
}
