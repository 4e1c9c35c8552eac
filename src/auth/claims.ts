import type { Config } from '../config/config.ts'
import type { ProblemCode } from '../http/problems.ts'
import type { Token } from './token.ts'
import type { Owner, User } from './user.ts'

/**
 * The rules for one kind of token, in addition to those for every token. The rules of two kinds exclude each other (RFC
 * 8725 section 3.12).
 */
export interface Profile {
  issuers: readonly string[]
  audiences: readonly string[]
  requiredClaims: readonly string[]
  maxLifetimeSeconds: number
}

const OAUTH_LIFETIME_SECONDS = 3600
const MAX_SUBJECT_BYTES = 255
const CONTROL_CHARACTER = /\p{Cc}/u

/**
 * Profiles by the token's `typ` in lower case (RFC 7515 section 4.1.9). The key is undefined for a token without it.
 */
type Profiles = ReadonlyMap<string | undefined, Profile>

/** Returns the profiles that the configuration accepts. */
export function profilesOf(auth: Config['auth']): Profiles {
  const api: Profile = auth
  const profiles = new Map<string | undefined, Profile>([
    [undefined, api],
    ['jwt', api]
  ])
  if (auth.oauthIssuers.length > 0) {
    // RFC 9068 section 2.2 requires all of these. JWT_REQUIRED_CLAIMS applies to API tokens only.
    const requiredClaims = ['sub', 'exp', 'iat', 'iss', 'aud', 'client_id', 'jti']
    const oauth = { ...auth, issuers: auth.oauthIssuers, requiredClaims, maxLifetimeSeconds: OAUTH_LIFETIME_SECONDS }
    profiles.set('at+jwt', oauth).set('application/at+jwt', oauth)
  }
  return profiles
}

/** Checks the header before any key is looked up: an accepted algorithm, a known type, and no critical extension. */
export function judgeHeader(
  header: Token['header'],
  algorithms: readonly string[],
  profiles: Profiles
): Profile | ProblemCode {
  if (typeof header.alg !== 'string' || !algorithms.includes(header.alg)) return 'token_algorithm'
  // The service supports no extension, so it must refuse critical ones (RFC 7515 section 4.1.11).
  if (header.crit !== undefined) return 'token_critical'
  const { typ } = header
  if (typ !== undefined && typeof typ !== 'string') return 'token_type'
  return profiles.get(typ?.toLowerCase()) ?? 'token_type'
}

// The largest time of a Date, in seconds. The comparison below refuses NaN and the infinities too.
const MAX_DATE = 8.64e12

const isDate = (value: unknown): value is number | undefined =>
  value === undefined || (typeof value === 'number' && Math.abs(value) <= MAX_DATE)

const isSubject = (value: unknown): value is Owner =>
  typeof value === 'string' &&
  value !== '' &&
  Buffer.byteLength(value) <= MAX_SUBJECT_BYTES &&
  value.isWellFormed() &&
  !CONTROL_CHARACTER.test(value)

/**
 * Returns the user that verified claims identify, or the problem with the claims (RFC 7519 section 4.1). It checks the
 * types of the claims too.
 *
 * @param now seconds since the epoch
 */
export function judgeClaims(
  claims: Token['claims'],
  profile: Profile,
  toleranceSeconds: number,
  now: number
): User | ProblemCode {
  const { sub, exp, iat, nbf, iss, aud, scope, cnf } = claims
  if (!isSubject(sub)) return 'token_subject'
  for (const name of profile.requiredClaims)
    if (claims[name] === undefined || claims[name] === null) return 'token_claim'
  if (!isDate(exp) || !isDate(iat) || !isDate(nbf)) return 'token_claim'
  if (exp !== undefined && now >= exp + toleranceSeconds) return 'token_expired'
  if (iat !== undefined && iat > now + toleranceSeconds) return 'token_not_yet'
  if (nbf !== undefined && nbf > now + toleranceSeconds) return 'token_not_yet'
  if (exp !== undefined && iat !== undefined && exp - iat > profile.maxLifetimeSeconds) return 'token_lifetime'
  if (profile.issuers.length > 0 && !(typeof iss === 'string' && profile.issuers.includes(iss))) return 'token_issuer'
  if (profile.audiences.length > 0) {
    const audiences: unknown[] = Array.isArray(aud) ? aud : [aud]
    const accepts = (audience: unknown) => typeof audience === 'string' && profile.audiences.includes(audience)
    if (!audiences.some(accepts)) return 'token_audience'
  }
  if (scope !== undefined && typeof scope !== 'string') return 'token_claim'
  // RFC 7800: the caller must prove possession of a key with such a token. A bearer request proves nothing.
  if (cnf !== undefined) return 'token_bound'
  return Object.freeze({
    sub,
    scope: scope === undefined ? null : Object.freeze(scope.split(' ').filter((name) => name !== '')),
    expiresAt: exp ?? null
  })
}
