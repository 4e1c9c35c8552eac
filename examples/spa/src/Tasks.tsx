import { type FormEvent, useRef, useState } from 'react'
import type { Task } from './api.ts'
import { auth } from './auth.ts'
import { EditDialog } from './EditDialog.tsx'
import { Icon } from './Icon.tsx'
import { toast } from './Toasts.tsx'
import { reason, type ShownTask, useTasks } from './useTasks.ts'

function Due({ at, completed }: { at: string; completed: boolean }) {
  const date = new Date(at)
  const now = new Date()
  const late = !completed && date < now
  const year = date.getFullYear() === now.getFullYear() ? {} : ({ year: 'numeric' } as const)
  return (
    <time className={late ? 'due late' : 'due'} dateTime={at}>
      {late ? 'Overdue' : 'Due'} {date.toLocaleDateString(undefined, { day: 'numeric', month: 'short', ...year })}
    </time>
  )
}

interface ActionProps {
  task: ShownTask
  action: 'Edit' | 'Delete'
  onClick: () => void
}

const Action = ({ task, action, onClick }: ActionProps) => (
  <button
    type="button"
    className={action === 'Delete' ? 'icon danger' : 'icon'}
    disabled={task.version === 0}
    onClick={onClick}
    aria-label={`${action} ${task.title}`}
  >
    <Icon name={action === 'Delete' ? 'bin' : 'pencil'} />
  </button>
)

interface ItemProps {
  task: ShownTask
  onComplete: (completed: boolean) => void
  onEdit: () => void
  onRemove: () => void
}

const Item = ({ task, onComplete, onEdit, onRemove }: ItemProps) => (
  <li className={task.completed ? 'task completed' : 'task'} aria-busy={task.saving ?? false}>
    <label>
      <input
        type="checkbox"
        checked={task.completed}
        // One that is not created yet cannot be changed.
        disabled={task.version === 0}
        onChange={(event) => onComplete(event.target.checked)}
      />
      <span className="box">
        <Icon name="check" />
      </span>
      <span className="text">
        <span className="title">{task.title}</span>
        {task.description && <span className="description">{task.description}</span>}
        {task.dueAt && <Due at={task.dueAt} completed={task.completed} />}
      </span>
    </label>
    <Action task={task} action="Edit" onClick={onEdit} />
    <Action task={task} action="Delete" onClick={onRemove} />
  </li>
)

const Skeleton = () => (
  <ul className="list" aria-hidden="true">
    {['70%', '45%', '60%'].map((width) => (
      <li key={width} className="task skeleton">
        <span className="box" />
        <span className="line" style={{ width }} />
      </li>
    ))}
  </ul>
)

export function Tasks({ name }: { name: string }) {
  const { tasks, next, live, failure, load, ...actions } = useTasks()
  const [title, setTitle] = useState('')
  const [editing, setEditing] = useState<Task | null>(null)
  const [loadingMore, setLoadingMore] = useState(false)
  const input = useRef<HTMLInputElement>(null)

  function add(event: FormEvent) {
    event.preventDefault()
    const text = title.trim()
    if (text === '') return
    setTitle('')
    actions.create(text).catch((error) => {
      // What was typed is given back, unless something else is there by now.
      setTitle((now) => now || text)
      toast(`“${text}” was not added: ${reason(error)}.`)
    })
  }

  function remove(task: Task) {
    // The button that had the focus is gone.
    input.current?.focus()
    actions.remove(task)
  }

  async function more(path: string) {
    setLoadingMore(true)
    await load(path)
    setLoadingMore(false)
  }

  return (
    <>
      <header>
        <span className="logo">
          <Icon name="check" />
        </span>
        <h1>Tasks</h1>
        <span className={live ? 'live' : 'live off'} role="status">
          {live ? 'Live' : 'Connecting'}
        </span>
        <span className="who">{name}</span>
        <button type="button" onClick={() => auth.signOut()}>
          Sign out
        </button>
      </header>
      <main>
        <form className="add card" onSubmit={add}>
          <input
            ref={input}
            aria-label="New task"
            placeholder="What needs doing?"
            value={title}
            maxLength={200}
            onChange={(event) => setTitle(event.target.value)}
          />
          <button type="submit" className="primary" disabled={title.trim() === ''}>
            Add
          </button>
        </form>

        {failure && (
          <div className="card failure" role="alert">
            <p>Your tasks could not be loaded: {failure}.</p>
            <button type="button" onClick={() => load()}>
              Try again
            </button>
          </div>
        )}
        {tasks === null && !failure && <Skeleton />}
        {tasks?.length === 0 && (
          <div className="empty">
            <span className="logo">
              <Icon name="check" />
            </span>
            <h2>Nothing to do</h2>
            <p className="muted">Enjoy it, or add your first task above.</p>
          </div>
        )}
        {tasks !== null && tasks.length > 0 && (
          <ul className="list" aria-label="Your tasks">
            {tasks.map((task) => (
              <Item
                key={task.id}
                task={task}
                onComplete={(completed) => actions.complete(task, completed)}
                onEdit={() => setEditing(task)}
                onRemove={() => remove(task)}
              />
            ))}
          </ul>
        )}
        {next && (
          <button type="button" className="more" disabled={loadingMore} onClick={() => more(next)}>
            {loadingMore ? 'Loading …' : 'Load more'}
          </button>
        )}
      </main>
      {editing && <EditDialog task={editing} actions={actions} onClose={() => setEditing(null)} />}
    </>
  )
}
