import { LruMap } from 'toad-cache'
import type { Config } from '../config/config.ts'
import type { ProblemCode } from '../http/problems.ts'
import { judgeClaims, judgeHeader, type Profile, profilesOf } from './claims.ts'
import type { Key } from './key.ts'
import { parseToken, type Token } from './token.ts'
import type { User } from './user.ts'

/** Who a token identifies, and the key that says so. */
export interface Verdict {
  readonly user: User
  readonly key: Key
}

// 10,000 tokens of about 0.5 KiB are some 10 MB.
const CACHE_SIZE = 10_000

/** A token that is well formed and may be believed if its signature is right. */
export interface Candidate {
  readonly text: string
  readonly token: Token
  readonly profile: Profile
}

/**
 * Makes the verifier, in steps of growing cost. A token that was verified before costs a look-up: it is remembered
 * whole, so no two can be taken for each other, and on each use its expiry and its key are checked again.
 */
export function createVerifier(auth: Config['auth']) {
  const profiles = profilesOf(auth)
  const tolerance = auth.clockToleranceSeconds
  const verdicts = new LruMap<Verdict>(CACHE_SIZE)
  let hits = 0
  let checks = 0

  return {
    /** The verdict on a token that was verified before and still holds. */
    known(text: string): Verdict | undefined {
      const verdict = verdicts.get(text)
      if (verdict === undefined || verdict.key.withdrawn) return undefined
      const { expiresAt } = verdict.user
      if (expiresAt !== null && Date.now() / 1000 >= expiresAt + tolerance) return undefined
      hits++
      return verdict
    },

    /** What can be told without cryptography: whether it is a token, of an accepted algorithm and type. */
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

    /** The verdict on a token that the key signed, by its claims. */
    judge({ text, token, profile }: Candidate, key: Key): Verdict | ProblemCode {
      const user = judgeClaims(token.claims, profile, tolerance, Date.now() / 1000)
      if (typeof user === 'string') return user
      const verdict = { user, key }
      verdicts.set(text, verdict)
      return verdict
    },

    /** Tokens that were known, and that had to be checked, so far; and those that are remembered. */
    stats: () => ({ hits, checks, remembered: verdicts.size })
  }
}

export type Verifier = ReturnType<typeof createVerifier>
