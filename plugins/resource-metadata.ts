import fp from 'fastify-plugin'
import { metadataUrl } from '../src/auth/metadata.ts'

/**
 * Adds the URL of the protected-resource metadata to every `WWW-Authenticate` (RFC 9728 section 5.1), so that a refused
 * client can find the issuer. The shared-secret mode has no metadata.
 */
export default fp(
  async (app) => {
    const { auth } = app.config
    if (auth.jwksUrl === undefined) return
    app.addHook('onSend', (request, reply, _payload, done) => {
      const challenge = reply.getHeader('www-authenticate')
      const metadata = challenge === undefined ? undefined : metadataUrl(auth, request)
      if (metadata !== undefined) {
        const separator = challenge === 'Bearer' ? '' : ','
        reply.header('www-authenticate', `${challenge}${separator} resource_metadata="${metadata}"`)
      }
      done()
    })
  },
  { name: 'resource-metadata' }
)
