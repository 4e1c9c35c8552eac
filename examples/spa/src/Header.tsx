import { useCallback, useSyncExternalStore } from 'react'
import { auth } from './auth.ts'
import { type Api, reason } from './client.ts'
import { Icon } from './Icon.tsx'
import { toast } from './Toasts.tsx'

const PAGES = { tasks: 'Tasks', notes: 'Notes' }

interface Props {
  client: Api['client']
  page: keyof typeof PAGES
  name: string
}

export function Header({ client, page, name }: Props) {
  const subscribe = useCallback((listener: () => void) => client.changes().subscribe(listener), [client])
  const live = useSyncExternalStore(subscribe, () => client.changes().live)

  async function signOut() {
    try {
      const { error } = await auth.signOut()
      if (error) throw new Error(error.message ?? error.statusText)
      // The session is over, so the other windows do not find it again.
      client.signOut()
    } catch (error) {
      toast(`You are still signed in: ${reason(error)}.`)
    }
  }

  return (
    <header>
      <span className="logo">
        <Icon name="check" />
      </span>
      <nav aria-label="Pages">
        {Object.entries(PAGES).map(([key, title]) => (
          <a key={key} href={`#/${key}`} aria-current={key === page ? 'page' : undefined}>
            {title}
          </a>
        ))}
      </nav>
      <span className={live ? 'live' : 'live off'} role="status">
        <span>{live ? 'Live' : 'Connecting'}</span>
      </span>
      <span className="who">{name}</span>
      <button type="button" onClick={signOut}>
        Sign out
      </button>
    </header>
  )
}
