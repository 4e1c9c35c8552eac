import fastifyJwt from '@fastify/jwt'
import Fastify from 'fastify'
import type { Config } from '../config/config.ts'
import { developmentSecret } from './development-secret.ts'

/**
 * Signs a token for development, as the issuer does in the shared-secret mode. In production only the issuer signs
 * tokens.
 *
 * @param sub the user that the token identifies
 * @param options.minutes its lifetime; by default the longest that the service accepts
 * @param options.scope its scopes, separated by spaces; without them the token is unrestricted
 * @throws in production, with published keys, and for a lifetime that the service would refuse
 */
export async function developmentToken(
  config: Config,
  sub: string,
  { minutes, scope }: { minutes?: number | undefined; scope?: string | undefined } = {}
): Promise<string> {
  const { auth } = config
  if (config.production) throw new Error('Development tokens are not made in production: get one from your issuer.')
  if (auth.jwksUrl !== undefined) {
    throw new Error(
      'Tokens are verified with published keys, and only their issuer can sign one: get it from your issuer.'
    )
  }
  const longest = auth.maxLifetimeSeconds / 60
  const lifetime = minutes ?? longest
  if (!(lifetime > 0 && lifetime <= longest)) {
    throw new Error(
      `The lifetime must be from 1 to ${longest} minutes: ` +
        'the service refuses longer ones (ACCESS_TOKEN_EXPIRE_MINUTES).'
    )
  }
  const app = Fastify()
  await app.register(fastifyJwt, { secret: auth.secret ?? developmentSecret(), sign: { algorithm: algorithmOf(auth) } })
  const [iss] = auth.issuers
  const [aud] = auth.audiences
  return app.jwt.sign(
    { sub, ...(iss && { iss }), ...(aud && { aud }), ...(scope !== undefined && { scope }) },
    { expiresIn: `${lifetime}m` }
  )
}

const algorithmOf = ({ algorithms }: Config['auth']) => algorithms[0] as 'HS256' | 'HS384' | 'HS512'
