import { TokenChecker } from '../../src/auth/checker.ts'
import type { Key } from '../../src/auth/key.ts'
import type { Token } from '../../src/auth/token.ts'
import type { User } from '../../src/auth/user.ts'
import { createVerifier } from '../../src/auth/verifier.ts'
import { Waiters } from '../../src/auth/waiters.ts'
import type { Config } from '../../src/config/config.ts'
import type { ProblemCode } from '../../src/http/problems.ts'
import { VerificationBudget } from '../../src/limits/verification-budget.ts'

/** The user that a token identifies, or the reason why it identifies none. */
export type Outcome = User | ProblemCode | 'no_checks_left' | 'no_place_left'

type FindKey = (header: Token['header']) => Key | ProblemCode | Promise<Key | ProblemCode>

/** The verifier and the checker as one function, without limits. */
export function verifying(auth: Config['auth'], findKey: FindKey) {
  const verifier = createVerifier(auth)
  const keys = {
    version: 0,
    hasKeys: () => true,
    held: (header: Token['header']) => {
      const key = findKey(header)
      return key instanceof Promise ? undefined : key
    },
    ask: async (header: Token['header']) => findKey(header),
    recheck: () => undefined
  }
  const checker = new TokenChecker(verifier, keys, new VerificationBudget(null, 1000), new Waiters(1000))
  return (text: string): Outcome | Promise<Outcome> => {
    const known = verifier.known(text)
    if (known !== undefined) return known.user
    const candidate = verifier.examine(text)
    if (typeof candidate === 'string') return candidate
    const conclusion = checker.check(candidate, '192.0.2.1')
    if (conclusion instanceof Promise) return conclusion.then((late) => (typeof late === 'string' ? late : late.user))
    return typeof conclusion === 'string' ? conclusion : conclusion.user
  }
}
