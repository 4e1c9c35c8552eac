import fastifyJwt from '@fastify/jwt'
import Fastify from 'fastify'
import type { Config } from '../config/config.ts'
import { developmentSecret } from './development-secret.ts'

/**
 * Signs a token as the issuer of the shared-secret mode would, for trying the API out. Production's tokens come from
 * the issuer alone.
 *
 * @param sub the user it identifies
 * @param options.minutes its lifetime, as long as the service accepts unless given
 * @param options.scope what it is limited to, separated by spaces; unrestricted unless given
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
    throw new Error('Tokens are verified with published keys, which only their issuer can sign for: get one from it.')
  }
  const longest = auth.maxLifetimeSeconds / 60
  const lifetime = minutes ?? longest
  if (!(lifetime > 0 && lifetime <= longest)) {
    throw new Error(
      `The lifetime must be from 1 to ${longest} minutes: the service refuses longer ones (ACCESS_TOKEN_EXPIRE_MINUTES).`
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
