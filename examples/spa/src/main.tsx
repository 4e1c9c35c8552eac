import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { auth } from './auth.ts'
import { SignIn } from './SignIn.tsx'
import './style.css'
import { Tasks } from './Tasks.tsx'
import { Toasts } from './Toasts.tsx'

function App() {
  const { data: session, isPending } = auth.useSession()
  if (isPending) return null
  if (session === null) return <SignIn />
  // The key: with another user comes another token, and nothing of the one before.
  return <Tasks key={session.user.id} name={session.user.name} />
}

createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <App />
    <Toasts />
  </StrictMode>
)
