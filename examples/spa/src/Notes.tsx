import { type FormEvent, useEffect, useRef, useState } from 'react'
import { Problem } from 'rowkeeper/client'
import { type Api, explain, type Note, reason, remove } from './client.ts'
import { useLive, useSettled } from './hooks.ts'
import { Icon } from './Icon.tsx'
import { Empty, Failure, LoadMore, Search, Skeleton } from './Parts.tsx'
import { toast } from './Toasts.tsx'

/** A note has no title, so a message names it by how it begins. */
const nameOf = (text: string) => (text.length > 40 ? `${text.slice(0, 39).trimEnd()}…` : text).replaceAll('\n', ' ')

interface EditNoteProps {
  notes: Api['notes']
  note: Note
  onClose: () => void
}

function EditNote({ notes, note, onClose }: EditNoteProps) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [seen, setSeen] = useState(note.version)
  const [text, setText] = useState(note.text)
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<string | null>(null)

  useEffect(() => dialog.current?.showModal(), [])
  const close = () => dialog.current?.close()

  async function submit(event: FormEvent) {
    event.preventDefault()
    setBusy(true)
    try {
      // Whoever pins the note meanwhile does not keep its text from being saved.
      await notes.change(note.id, { text: text.trim() }, { version: seen, rebase: true })
      close()
    } catch (error) {
      const { code, current } = error instanceof Problem ? error : {}
      if (code === 'precondition_failed') {
        const { version, text } = current as Note
        setSeen(version)
        setFailure(`Changed elsewhere, to “${text}”. Save again to replace it.`)
      } else if (code === 'note_not_found') {
        explain(error, nameOf(note.text))
        close()
      } else setFailure(`It was not saved: ${reason(error)}.`)
    }
    setBusy(false)
  }

  return (
    <dialog ref={dialog} className="card" onClose={onClose} aria-labelledby="note-title">
      <form onSubmit={submit}>
        <h2 id="note-title">Edit note</h2>
        <textarea
          aria-label="Note"
          value={text}
          rows={8}
          maxLength={10_000}
          onChange={(event) => setText(event.target.value)}
        />
        {failure && (
          <p className="failure" role="alert">
            {failure}
          </p>
        )}
        <div className="buttons">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" className="primary" disabled={busy || text.trim() === ''}>
            {busy ? 'Saving …' : 'Save'}
          </button>
        </div>
      </form>
    </dialog>
  )
}

interface CardProps {
  note: Note
  /** Whether the service has not answered yet what was done to it. */
  busy: boolean
  onPin: () => void
  onEdit: () => void
  onRemove: () => void
}

function Card({ note: { text, pinned, version, updatedAt }, busy, onPin, onEdit, onRemove }: CardProps) {
  const name = nameOf(text)
  const disabled = version === 0
  return (
    <li className="note card" aria-busy={busy}>
      <p>{text}</p>
      <div>
        <time dateTime={updatedAt}>
          {new Date(updatedAt).toLocaleDateString(undefined, { day: 'numeric', month: 'short' })}
        </time>
        <button
          type="button"
          className="icon pin"
          disabled={disabled}
          onClick={onPin}
          aria-pressed={pinned}
          aria-label={`Pin ${name}`}
        >
          <Icon name="pin" />
        </button>
        <button type="button" className="icon" disabled={disabled} onClick={onEdit} aria-label={`Edit ${name}`}>
          <Icon name="pencil" />
        </button>
        <button
          type="button"
          className="icon danger"
          disabled={disabled}
          onClick={onRemove}
          aria-label={`Delete ${name}`}
        >
          <Icon name="bin" />
        </button>
      </div>
    </li>
  )
}

export function Notes({ notes }: { notes: Api['notes'] }) {
  const [text, setText] = useState('')
  const [search, setSearch] = useState('')
  const [editing, setEditing] = useState<Note | null>(null)
  const input = useRef<HTMLTextAreaElement>(null)
  const q = useSettled(search.trim())
  // A note that is pinned moves from one list to the other, whoever pins it.
  const query = { sort: '-updatedAt', limit: 20, ...(q !== '' && { q }) } as const
  const pinned = useLive(notes, { ...query, pinned: true })
  const others = useLive(notes, { ...query, pinned: false })
  const lists = { Pinned: pinned, Others: others }
  const loaded = pinned.loaded && others.loaded
  const isEmpty = loaded && pinned.rows.length === 0 && others.rows.length === 0
  // What another search did not find says nothing of this one.
  const isSearch = q !== '' || pinned.isStale || others.isStale
  const error = pinned.error ?? others.error

  function add(event: FormEvent) {
    event.preventDefault()
    const draft = text.trim()
    if (draft === '') return
    setText('')
    setSearch('')
    input.current?.focus()
    notes.create({ text: draft }).catch((error) => {
      setText((now) => now || draft)
      toast(`“${nameOf(draft)}” was not added: ${reason(error)}.`)
    })
  }

  const pin = ({ id, text, pinned }: Note) =>
    notes.change(id, { pinned: !pinned }).catch((error) => explain(error, nameOf(text)))

  function removeNote(note: Note) {
    input.current?.focus()
    const { text, pinned } = note
    remove(notes, note, { text, pinned }, nameOf(text))
  }

  return (
    <main>
      <h1 className="hidden">Notes</h1>
      <form className="add card" onSubmit={add}>
        <textarea
          ref={input}
          aria-label="New note"
          placeholder="Write a note …"
          value={text}
          rows={text.includes('\n') || text.length > 60 ? 4 : 1}
          maxLength={10_000}
          onChange={(event) => setText(event.target.value)}
        />
        <button type="submit" className="primary" disabled={text.trim() === ''}>
          Add
        </button>
      </form>
      <div className="toolbar">
        <Search what="notes" value={search} onChange={setSearch} />
      </div>

      {error !== undefined && (
        <Failure what="Your notes" error={error} onRetry={() => Promise.all([pinned.reload(), others.reload()])} />
      )}
      {!loaded && error === undefined && <Skeleton />}
      {isEmpty && !isSearch && (
        <Empty icon="note" title="No notes yet">
          Write down what you want to keep.
        </Empty>
      )}
      {isEmpty && isSearch && (
        <Empty icon="search" title="Nothing found">
          No note matches.{' '}
          <button type="button" className="link" onClick={() => setSearch('')}>
            Show all
          </button>
        </Empty>
      )}
      {Object.entries(lists).map(
        ([name, { rows, pending, isStale, hasMore, more }]) =>
          rows.length > 0 && (
            <section key={name} className={isStale ? 'stale' : ''} aria-labelledby={name}>
              <h2 id={name} className={pinned.rows.length === 0 ? 'hidden' : 'section'}>
                {name}
              </h2>
              <ul className="notes">
                {rows.map((note) => (
                  <Card
                    key={note.id}
                    note={note}
                    busy={pending.has(note.id)}
                    onPin={() => pin(note)}
                    onEdit={() => setEditing(note)}
                    onRemove={() => removeNote(note)}
                  />
                ))}
              </ul>
              {hasMore && <LoadMore more={more} />}
            </section>
          )
      )}
      {editing && <EditNote notes={notes} note={editing} onClose={() => setEditing(null)} />}
    </main>
  )
}
