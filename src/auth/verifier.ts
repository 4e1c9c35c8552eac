import { LruMap } from 'toad-cache'
import type { Config } from '../config/config.ts'
import type { ProblemCode } from '../http/problems.ts'
import { judgeClaims, judgeHeader, type Profile, profilesOf } from './claims.ts'
import type { Key } from './key.ts'
import { parseToken, type Token } from './token.ts'
import type { User } from './user.ts'

/** The user that a token identifies, and the key that verified the token. */
export interface Verdict {
  readonly user: User
  readonly key: Key
}

// 10,000 tokens of about 0.5 KiB take some 10 MB.
const CACHE_SIZE = 10_000

/** A well-formed token of an accepted algorithm and type, whose signature and claims are not checked yet. */
export interface Candidate {
  readonly text: string
  readonly token: Token
  readonly profile: Profile
}

/**
 * Makes the verifier. Its methods are the steps of a verification, the cheapest first. A token that was verified before
 * costs a look-up. The cache keeps the whole token, so that two tokens cannot be confused. Each use checks the expiry
 * and the key again.
 */
export function createVerifier(auth: Config['auth']) {
  const profiles = profilesOf(auth)
  const tolerance = auth.clockToleranceSeconds
  const verdicts = new LruMap<Verdict>(CACHE_SIZE)
  let hits = 0
  let checks = 0

  return {
    /** Returns the verdict on a token that was verified before and is still valid. */
    known(text: string): Verdict | undefined {
      const verdict = verdicts.get(text)
      if (verdict === undefined || verdict.key.withdrawn) return undefined
      const { expiresAt } = verdict.user
      if (expiresAt !== null && Date.now() / 1000 >= expiresAt + tolerance) return undefined
      hits++
      return verdict
    },

    /** Checks what needs no cryptography: the form of the token, its algorithm and its type. */
    examine(text: string): Candidate | ProblemCode {
      const token = parseToken(text)
      if (typeof token === 'string') return token
      const profile = judgeHeader(token.header, auth.algorithms, profiles)
      return typeof profile === 'string' ? profile : { text, token, profile }
    },

    /** Whether the key signed the token. */
    isSigned({ text }: Candidate, key: Key): boolean {
      checks++
      return key.signed(text)
    },

    /** Checks the claims of a token that the key signed, and remembers a good token. */
    judge({ text, token, profile }: Candidate, key: Key): Verdict | ProblemCode {
      const user = judgeClaims(token.claims, profile, tolerance, Date.now() / 1000)
      if (typeof user === 'string') return user
      const verdict = { user, key }
      verdicts.set(text, verdict)
      return verdict
    },

    /** The cache hits and the signature checks since the start, and the number of remembered tokens. */
    stats: () => ({ hits, checks, remembered: verdicts.size })
  }
}

export type Verifier = ReturnType<typeof createVerifier>
