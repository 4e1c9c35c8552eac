import { type FormEvent, useEffect, useRef, useState } from 'react'
import { Problem } from 'rowkeeper/client'
import { type Api, explain, reason, type Task } from './client.ts'

type Fields = Pick<Task, 'title' | 'description' | 'dueAt'>

const NAMES = { title: 'Title', description: 'Description', dueAt: 'Due' } as const
const keys = Object.keys(NAMES) as (keyof Fields)[]

/** A moment as `<input type="datetime-local">` takes it, which knows no time zones. */
function toLocal(moment: string | null): string {
  if (moment === null) return ''
  const date = new Date(moment)
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}

const toMoment = (local: string) => (local === '' ? null : new Date(local).toISOString())

const sameMoment = (a: string | null, b: string | null) => toLocal(a) === toLocal(b)

/** The members of `mine` that are other than in `task`: nobody's change of another one is undone. */
function changesOf(mine: Fields, task: Task): Partial<Fields> {
  const changed = keys.filter((key) =>
    key === 'dueAt' ? !sameMoment(mine.dueAt, task.dueAt) : mine[key] !== task[key]
  )
  return Object.fromEntries(changed.map((key) => [key, mine[key]]))
}

const read = (value: string | null, key: keyof Fields) =>
  value === null
    ? 'None'
    : key === 'dueAt'
      ? new Date(value).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' })
      : value

interface Props {
  tasks: Api['tasks']
  task: Task
  onClose: () => void
}

export function EditDialog({ tasks, task, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [mine, setMine] = useState<Partial<Fields>>({})
  const [theirs, setTheirs] = useState<Task | null>(null)
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<string | null>(null)

  const heading = useRef<HTMLHeadingElement>(null)

  useEffect(() => dialog.current?.showModal(), [])
  // The button that had the focus is gone, and neither of the two that are there now is to be pressed by accident.
  useEffect(() => {
    if (theirs !== null) heading.current?.focus()
  }, [theirs])

  /** Saves `change` over `seen`; when that is not what is there any more, shows what is. */
  async function save(seen: Task, change: Partial<Fields>) {
    if (Object.keys(change).length === 0) return dialog.current?.close()
    setBusy(true)
    setFailure(null)
    setMine(change)
    try {
      await tasks.change(seen.id, change, { version: seen.version })
      dialog.current?.close()
    } catch (error) {
      const { code, current } = error instanceof Problem ? error : {}
      if (code === 'precondition_failed') setTheirs(current as Task)
      else if (code === 'task_not_found') giveUp(error)
      else setFailure(`It was not saved: ${reason(error)}.`)
    }
    setBusy(false)
  }

  function giveUp(error: unknown) {
    explain(error, task.title)
    dialog.current?.close()
  }

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const text = (name: keyof Fields) => String(form.get(name)).trim()
    const fields = { title: text('title'), description: text('description') || null, dueAt: toMoment(text('dueAt')) }
    save(task, changesOf(fields, task))
  }

  return (
    <dialog ref={dialog} className="card" onClose={onClose} aria-labelledby="dialog-title">
      {theirs === null ? (
        <form onSubmit={submit}>
          <h2 id="dialog-title">Edit task</h2>
          <label>
            Title
            <input name="title" defaultValue={task.title} required pattern=".*\S.*" maxLength={200} />
          </label>
          <label>
            Description
            <textarea name="description" defaultValue={task.description ?? ''} rows={4} maxLength={10_000} />
          </label>
          <label>
            Due
            <input name="dueAt" type="datetime-local" defaultValue={toLocal(task.dueAt)} max="9998-12-31T00:00" />
          </label>
          {failure && (
            <p className="failure" role="alert">
              {failure}
            </p>
          )}
          <div className="buttons">
            <button type="button" onClick={() => dialog.current?.close()}>
              Cancel
            </button>
            <button type="submit" className="primary" disabled={busy}>
              {busy ? 'Saving …' : 'Save'}
            </button>
          </div>
        </form>
      ) : (
        <section>
          <h2 id="dialog-title" ref={heading} tabIndex={-1}>
            Changed elsewhere
          </h2>
          <p className="muted">While you were editing, this task was changed in another window. Nothing is lost yet.</p>
          {(Object.keys(mine) as (keyof Fields)[]).map((key) => (
            <div key={key} className="versions">
              <h3>{NAMES[key]}</h3>
              <dl>
                <div>
                  <dt>Yours</dt>
                  <dd>{read(mine[key] ?? null, key)}</dd>
                </div>
                <div>
                  <dt>Theirs</dt>
                  <dd>{read(theirs[key], key)}</dd>
                </div>
              </dl>
            </div>
          ))}
          {failure && <p className="failure">{failure}</p>}
          <div className="buttons">
            <button type="button" disabled={busy} onClick={() => dialog.current?.close()}>
              Take theirs
            </button>
            <button type="button" className="primary" disabled={busy} onClick={() => save(theirs, mine)}>
              {busy ? 'Saving …' : 'Keep mine'}
            </button>
          </div>
        </section>
      )}
    </dialog>
  )
}
