declare const verified: unique symbol

/**
 * The `sub` of a verified token. Only the verifier makes one (`src/auth/claims.ts`), so no text from a URL or a body
 * can stand where an owner is asked for.
 */
export type Owner = string & { readonly [verified]: true }

/** The caller, as the verified token says. Frozen: requests with the same token share it. */
export interface User {
  readonly sub: Owner
  /** The scopes of the token (RFC 9068 section 2.2.3); null when it has no `scope` claim and is unrestricted. */
  readonly scope: readonly string[] | null
  /** Seconds since the epoch; null when the token never expires (only if `JWT_REQUIRED_CLAIMS` allows that). */
  readonly expiresAt: number | null
}
