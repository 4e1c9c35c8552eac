import type { FastifyRequest } from 'fastify'
import type { Config } from '../config/config.ts'

/** Where protected-resource metadata is found on the host of the resource (RFC 9728 section 3). */
export const METADATA_PATH = '/.well-known/oauth-protected-resource'

/** What a route may ask for (RFC 6749 section 3.3). */
const SCOPES = ['tasks:read', 'tasks:write']

// A name or an address, and a port (RFC 9110 section 7.2), and nothing that could end a quoted string.
const HOST = /^(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i

const isOrigin = (text: string) => /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text

/**
 * The resource identifier of this service (RFC 9728 section 1.2), an origin: what the client called us, as trusted
 * proxies report it. Where OAuth access tokens are accepted they must name an audience, so there it is one of those, if
 * any is an origin. A client that forges a host is answered it alone, and the issuers beside it are never taken from a
 * request. Undefined when the client called us something that is no host.
 */
function resourceOf(auth: Config['auth'], request: FastifyRequest): string | undefined {
  const called = HOST.test(request.host) ? `${request.protocol}://${request.host}` : undefined
  const named = auth.oauthIssuers.length > 0 ? auth.audiences.filter(isOrigin) : []
  return named.find((one) => one === called) ?? named[0] ?? called
}

/** Where a client finds the metadata of the resource that it called, or undefined when it did not say whom. */
export function metadataUrl(auth: Config['auth'], request: FastifyRequest): string | undefined {
  const resource = resourceOf(auth, request)
  return resource === undefined ? undefined : resource + METADATA_PATH
}

/** The metadata (RFC 9728 section 2): who issues the tokens, and how to present them. */
export function metadataOf(auth: Config['auth'], request: FastifyRequest) {
  const resource = resourceOf(auth, request)
  if (resource === undefined) return undefined
  return {
    resource,
    authorization_servers: [...(auth.oauthIssuers.length > 0 ? auth.oauthIssuers : auth.issuers)],
    scopes_supported: SCOPES,
    bearer_methods_supported: ['header' as const],
    resource_name: 'Rowkeeper'
  }
}
