import type { FastifyInstance } from 'fastify'
import type { KeySource } from './checker.ts'
import { developmentSecret, SECRET_FILE } from './development-secret.ts'
import { KeyStore } from './keys.ts'
import { sharedSecretKey } from './shared-secret.ts'

/** The shared secret of the configuration, or the one that is kept for development. */
export async function sharedSecret(app: FastifyInstance): Promise<KeySource> {
  const { secret, algorithms } = app.config.auth
  if (secret === undefined) app.log.warn(`BETTER_AUTH_SECRET is not set: using the one kept in ${SECRET_FILE}`)
  return sharedSecretKey(app, secret ?? developmentSecret(), String(algorithms[0]))
}

/** The keys that the issuer publishes at `url`, fetched while the application starts and runs. */
export function publishedKeys(app: FastifyInstance, url: string): KeyStore {
  const { algorithms, secretIgnored } = app.config.auth
  if (secretIgnored) {
    app.log.warn(
      'BETTER_AUTH_SECRET is ignored: tokens are verified with the published keys (ALGORITHM=HS256 would use it)'
    )
  }
  app.log.info(`tokens are verified with the keys that are published at ${url}`)
  const store = new KeyStore(url, algorithms, app.log)
  app.addHook('onClose', async () => store.close())
  // @fastify/jwt decorates it in the other mode. Here each key has an instance of its own (src/auth/signature.ts).
  app.decorateRequest('user', null as never)
  return store
}
