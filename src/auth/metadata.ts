import type { FastifyRequest } from 'fastify'
import type { Config } from '../config/config.ts'

/** The path of the protected-resource metadata on the host of the resource (RFC 9728 section 3). */
export const METADATA_PATH = '/.well-known/oauth-protected-resource'

/** The scopes that a route can require (RFC 6749 section 3.3). */
const SCOPES = ['tasks:read', 'tasks:write']

// A name or an address, and an optional port (RFC 9110 section 7.2). No character in it can end a quoted string.
const HOST = /^(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i

const isOrigin = (text: string) => /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text

/**
 * Returns the resource identifier of this service (RFC 9728 section 1.2). It is the origin that the client used, as
 * trusted proxies report it. OAuth access tokens must name an audience. When they are accepted, the identifier is one
 * of the audiences, if any of those is an origin. A client that forges the host deceives only itself, and the issuers
 * in the metadata never come from a request. Undefined when the host of the request is not valid.
 */
function resourceOf(auth: Config['auth'], request: FastifyRequest): string | undefined {
  const origin = HOST.test(request.host) ? `${request.protocol}://${request.host}` : undefined
  const audiences = auth.oauthIssuers.length > 0 ? auth.audiences.filter(isOrigin) : []
  return audiences.find((audience) => audience === origin) ?? audiences[0] ?? origin
}

/** Returns the URL of the metadata for the resource of a request, or undefined when the host is not valid. */
export function metadataUrl(auth: Config['auth'], request: FastifyRequest): string | undefined {
  const resource = resourceOf(auth, request)
  return resource === undefined ? undefined : resource + METADATA_PATH
}

/** Returns the metadata (RFC 9728 section 2): the issuers of the tokens, and how to present a token. */
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
