import { createVerifier, type Outcome } from '../src/auth/verifier.ts'

/** The verifier as one function, without the limits that the auth plugin puts between its steps. */
export function verifying(...args: Parameters<typeof createVerifier>) {
  const verifier = createVerifier(...args)
  return (text: string): Outcome | Promise<Outcome> => {
    const user = verifier.known(text)
    if (user !== undefined) return user
    const candidate = verifier.examine(text)
    return typeof candidate === 'string' ? candidate : verifier.check(candidate)
  }
}
