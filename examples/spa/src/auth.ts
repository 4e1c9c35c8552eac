import { jwtClient } from 'better-auth/client/plugins'
import { createAuthClient } from 'better-auth/react'

/** Signs up, in and out at the Better Auth server, whose cookie holds the session. */
export const auth = createAuthClient({ baseURL: import.meta.env.VITE_AUTH_URL, plugins: [jwtClient()] })

/** A new token for Rowkeeper (`GET /api/auth/token`). */
export async function fetchToken(): Promise<string> {
  const { data, error } = await auth.token()
  if (data !== null) return data.token
  if (error.status !== 401) throw new Error('the sign-in server does not answer')
  // The session is over: whoever uses it (`useSession`) is told, and shows the way back in.
  auth.$store.notify('$sessionSignal')
  throw new Error('you are signed out')
}
