declare const verified: unique symbol

/**
 * The subject (`sub`) of a verified token. Only `src/auth/claims.ts` creates an `Owner`, so text from a URL or a body
 * does not compile where an owner is required.
 */
export type Owner = string & { readonly [verified]: true }

/** The caller that a verified token identifies. It is frozen, because requests with the same token share it. */
export interface User {
  readonly sub: Owner
  /** The scopes of the token (RFC 9068 section 2.2.3). Null when it has no `scope` claim, and so is unrestricted. */
  readonly scope: readonly string[] | null
  /** Seconds since the epoch. Null when the token never expires, which `JWT_REQUIRED_CLAIMS` may allow. */
  readonly expiresAt: number | null
}

/** Whether the token of a user grants a scope, such as `tasks:read`. */
export const grants = ({ scope }: User, wanted: string): boolean => scope === null || scope.includes(wanted)
