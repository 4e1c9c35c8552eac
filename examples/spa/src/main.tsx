import { StrictMode, useEffect, useMemo } from 'react'
import { createRoot } from 'react-dom/client'
import { auth, checkSession } from './auth.ts'
import { connect } from './client.ts'
import { Header } from './Header.tsx'
import { usePage } from './hooks.ts'
import { Notes } from './Notes.tsx'
import { SignIn } from './SignIn.tsx'
import './style.css'
import { Tasks } from './Tasks.tsx'
import { Toasts } from './Toasts.tsx'

function Home({ name }: { name: string }) {
  const { client, tasks, notes } = useMemo(connect, [])
  const page = usePage()
  useEffect(() => client.onSignedOut(checkSession), [client])
  useEffect(() => () => client.close(), [client])
  return (
    <>
      <Header client={client} page={page} name={name} />
      {page === 'tasks' ? <Tasks tasks={tasks} /> : <Notes notes={notes} />}
    </>
  )
}

function App() {
  const { data, isPending } = auth.useSession()
  if (isPending) return null
  if (data === null) return <SignIn />
  // The key: whoever signs in gets a client of their own, and nothing of the one before.
  return <Home key={data.session.id} name={data.user.name} />
}

createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <App />
    <Toasts />
  </StrictMode>
)
