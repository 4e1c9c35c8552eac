import type { Config } from '../config/config.ts'
import type { ProblemCode } from '../http/problems.ts'
import type { Token } from './token.ts'
import type { Owner, User } from './user.ts'

/**
 * A kind of token, and what it must say beyond what every token must (RFC 8725 section 3.12: rules that exclude each
 * other).
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

/** Profiles by the token's `typ` in lower case (RFC 7515 section 4.1.9), undefined for a token without one. */
type Profiles = ReadonlyMap<string | undefined, Profile>

/** The profiles that a configuration accepts. */
export function profilesOf(auth: Config['auth']): Profiles {
  const api: Profile = auth
  const profiles = new Map<string | undefined, Profile>([
    [undefined, api],
    ['jwt', api]
  ])
  if (auth.oauthIssuers.length > 0) {
    // RFC 9068 section 2.2 requires all of these, whatever JWT_REQUIRED_CLAIMS says of API tokens.
    const requiredClaims = ['sub', 'exp', 'iat', 'iss', 'aud', 'client_id', 'jti']
    const oauth = { ...auth, issuers: auth.oauthIssuers, requiredClaims, maxLifetimeSeconds: OAUTH_LIFETIME_SECONDS }
    profiles.set('at+jwt', oauth).set('application/at+jwt', oauth)
  }
  return profiles
}

/** What the header may say, before any key is looked at: an accepted algorithm, a known type, and nothing critical. */
export function judgeHeader(
  header: Token['header'],
  algorithms: readonly string[],
  profiles: Profiles
): Profile | ProblemCode {
  if (typeof header.alg !== 'string' || !algorithms.includes(header.alg)) return 'token_algorithm'
  // We understand no extension, so whatever is critical to the issuer is not understood (RFC 7515 section 4.1.11).
  if (header.crit !== undefined) return 'token_critical'
  const { typ } = header
  if (typ !== undefined && typeof typ !== 'string') return 'token_type'
  return profiles.get(typ?.toLowerCase()) ?? 'token_type'
}

// What a Date can hold, in seconds; NaN and the infinities are outside too.
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
 * The user that verified claims identify, or why they identify nobody (RFC 7519 section 4.1, with types checked).
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
    const named: unknown[] = Array.isArray(aud) ? aud : [aud]
    if (!named.some((one) => typeof one === 'string' && profile.audiences.includes(one))) return 'token_audience'
  }
  if (scope !== undefined && typeof scope !== 'string') return 'token_claim'
  // RFC 7800: whoever presents such a token must prove that they hold a key, which a bearer does not.
  if (cnf !== undefined) return 'token_bound'
  return Object.freeze({
    sub,
    scope: scope === undefined ? null : Object.freeze(scope.split(' ').filter((one) => one !== '')),
    expiresAt: exp ?? null
  })
}
