import { type FormEvent, useState } from 'react'
import { auth } from './auth.ts'
import { Icon } from './Icon.tsx'

export function SignIn() {
  const [isNew, setNew] = useState(false)
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<string | null>(null)

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const text = (name: string) => String(form.get(name))
    const credentials = { email: text('email'), password: text('password') }
    setBusy(true)
    try {
      // When it succeeds, `useSession` of main.tsx knows.
      const { error } = isNew
        ? await auth.signUp.email({ ...credentials, name: text('name') })
        : await auth.signIn.email(credentials)
      setFailure(error && (error.message ?? error.statusText))
    } catch {
      setFailure('The sign-in server cannot be reached')
    }
    setBusy(false)
  }

  return (
    <main className="sign-in card">
      <span className="logo">
        <Icon name="check" />
      </span>
      <h1>{isNew ? 'Create your account' : 'Welcome back'}</h1>
      <p className="muted">Your tasks and notes, on every screen at once.</p>
      <form onSubmit={submit}>
        {isNew && (
          <label>
            Name
            <input name="name" autoComplete="name" required maxLength={100} />
          </label>
        )}
        <label>
          E-mail
          <input name="email" type="email" autoComplete="email" required />
        </label>
        <label>
          Password
          <input
            name="password"
            type="password"
            autoComplete={isNew ? 'new-password' : 'current-password'}
            required
            minLength={8}
          />
        </label>
        {failure && (
          <p className="failure" role="alert">
            {failure}
          </p>
        )}
        <button type="submit" className="primary" disabled={busy}>
          {isNew ? 'Sign up' : 'Sign in'}
        </button>
      </form>
      <p className="muted">
        {isNew ? 'You have an account?' : 'New here?'}{' '}
        <button
          type="button"
          className="link"
          onClick={() => {
            setNew(!isNew)
            setFailure(null)
          }}
        >
          {isNew ? 'Sign in instead' : 'Create an account'}
        </button>
      </p>
    </main>
  )
}
