import { jwtClient } from 'better-auth/client/plugins'
import { createAuthClient } from 'better-auth/react'

/** Signs up, in and out at the Better Auth server, whose cookie holds the session. */
export const auth = createAuthClient({ baseURL: import.meta.env.VITE_AUTH_URL, plugins: [jwtClient()] })

/** A new token for Rowkeeper (`GET /api/auth/token`), or null when nobody is signed in. */
export async function fetchToken(): Promise<string | null> {
  const { data, error } = await auth.token()
  if (data !== null) return data.token
  if (error.status === 401) return null
  throw new Error(error.statusText)
}

/** Whoever uses the session (`useSession`) asks for it again, and shows the way back in if it is over. */
export const checkSession = () => auth.$store.notify('$sessionSignal')
