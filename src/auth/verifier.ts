import { LruMap } from 'toad-cache'
import type { Config } from '../config.ts'
import type { ProblemCode } from '../errors.ts'
import { judgeClaims, judgeHeader, type Profile, profilesOf } from './claims.ts'
import { parseToken, type Token } from './token.ts'
import type { User } from './user.ts'

/** A key that verifies tokens. */
export interface Key {
  /** The one algorithm it is for; a token that names another is refused (RFC 8725 section 3.1). */
  readonly algorithm: string
  /** Whether the signature of a token is right. */
  readonly signed: (token: string) => boolean
  /** Set when the issuer no longer publishes it; verdicts that were reached with it end with it. */
  withdrawn: boolean
}

/** Finds the key for a header, or says why there is none. A promise when it must ask the issuer first. */
export type FindKey = (header: Token['header']) => Key | ProblemCode | Promise<Key | ProblemCode>

/** Who a token identifies, or why nobody. */
export type Outcome = User | ProblemCode

interface Verdict {
  user: User
  key: Key
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
 * Makes the verifier, in three steps of growing cost. A token that was verified before costs a look-up: it is remembered
 * whole, so no two can be taken for each other, and on each use its expiry and its key are checked again.
 */
export function createVerifier(auth: Config['auth'], findKey: FindKey) {
  const profiles = profilesOf(auth)
  const tolerance = auth.clockToleranceSeconds
  const verdicts = new LruMap<Verdict>(CACHE_SIZE)
  let hits = 0
  let checks = 0

  return {
    /** The user of a token that was verified before and still holds. */
    known(text: string): User | undefined {
      const verdict = verdicts.get(text)
      if (verdict === undefined || verdict.key.withdrawn) return undefined
      const { expiresAt } = verdict.user
      if (expiresAt !== null && Date.now() / 1000 >= expiresAt + tolerance) return undefined
      hits++
      return verdict.user
    },

    /** What can be told without cryptography: whether it is a token, of an accepted algorithm and type. */
    examine(text: string): Candidate | ProblemCode {
      const token = parseToken(text)
      if (typeof token === 'string') return token
      const profile = judgeHeader(token.header, auth.algorithms, profiles)
      return typeof profile === 'string' ? profile : { text, token, profile }
    },

    /** Checks the signature, then the claims. It answers at once, without a promise, unless a key must be fetched. */
    check({ text, token, profile }: Candidate): Outcome | Promise<Outcome> {
      checks++
      const judge = (key: Key | ProblemCode): Outcome => {
        if (typeof key === 'string') return key
        if (key.algorithm !== token.header.alg) return 'token_algorithm'
        if (!key.signed(text)) return 'token_signature'
        const user = judgeClaims(token.claims, profile, tolerance, Date.now() / 1000)
        if (typeof user !== 'string') verdicts.set(text, { user, key })
        return user
      }
      const key = findKey(token.header)
      return key instanceof Promise ? key.then(judge) : judge(key)
    },

    /** Tokens that were known, and that had to be checked, so far; and those that are remembered. */
    figures: () => ({ hits, checks, remembered: verdicts.size })
  }
}
