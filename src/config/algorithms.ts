/** The algorithms of a shared secret (RFC 7518 section 3.2). The first is the default. */
export const SECRET_ALGORITHMS = ['HS256', 'HS384', 'HS512'] as const

/** The algorithms of published keys: those that Better Auth's jwt plugin can sign with. */
export const KEY_ALGORITHMS = ['EdDSA', 'ES256', 'ES512', 'PS256', 'RS256'] as const

export type KeyAlgorithm = (typeof KEY_ALGORITHMS)[number]
