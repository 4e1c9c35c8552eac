import { type ReactNode, useState } from 'react'
import { reason } from './client.ts'
import { Icon } from './Icon.tsx'

interface SearchProps {
  what: string
  value: string
  onChange: (value: string) => void
}

export const Search = ({ what, value, onChange }: SearchProps) => (
  <label className="search">
    <Icon name="search" />
    <input
      type="search"
      aria-label={`Search ${what}`}
      placeholder={`Search ${what}`}
      value={value}
      maxLength={200}
      onChange={(event) => onChange(event.target.value)}
    />
  </label>
)

interface ChoiceProps<Key extends string> {
  what: string
  choices: Record<Key, string>
  value: Key
  onChange: (value: Key) => void
}

export const Segments = <Key extends string>({ what, choices, value, onChange }: ChoiceProps<Key>) => (
  <fieldset className="segments">
    <legend>{what}</legend>
    {(Object.keys(choices) as Key[]).map((key) => (
      <label key={key}>
        <input type="radio" name={what} checked={key === value} onChange={() => onChange(key)} />
        <span>{choices[key]}</span>
      </label>
    ))}
  </fieldset>
)

export const Select = <Key extends string>({ what, choices, value, onChange }: ChoiceProps<Key>) => (
  <label className="select">
    <Icon name="sort" />
    <select aria-label={what} value={value} onChange={(event) => onChange(event.target.value as Key)}>
      {(Object.keys(choices) as Key[]).map((key) => (
        <option key={key} value={key}>
          {choices[key]}
        </option>
      ))}
    </select>
  </label>
)

export const Skeleton = () => (
  <ul className="list" aria-hidden="true">
    {['70%', '45%', '60%'].map((width) => (
      <li key={width} className="task skeleton">
        <span className="box" />
        <span className="line" style={{ width }} />
      </li>
    ))}
  </ul>
)

interface EmptyProps {
  icon: Parameters<typeof Icon>[0]['name']
  title: string
  children: ReactNode
}

export const Empty = ({ icon, title, children }: EmptyProps) => (
  <div className="empty">
    <span className="logo">
      <Icon name={icon} />
    </span>
    <h2>{title}</h2>
    <p className="muted">{children}</p>
  </div>
)

interface FailureProps {
  what: string
  error: unknown
  onRetry: () => void
}

export const Failure = ({ what, error, onRetry }: FailureProps) => (
  <div className="card failure" role="alert">
    <p>
      {what} could not be loaded: {reason(error)}.
    </p>
    <button type="button" onClick={onRetry}>
      Try again
    </button>
  </div>
)

/** @param more loads the next page */
export function LoadMore({ more }: { more: () => Promise<void> }) {
  const [busy, setBusy] = useState(false)
  async function load() {
    setBusy(true)
    await more()
    setBusy(false)
  }
  return (
    <button type="button" className="more" disabled={busy} onClick={load}>
      {busy ? 'Loading …' : 'Load more'}
    </button>
  )
}
