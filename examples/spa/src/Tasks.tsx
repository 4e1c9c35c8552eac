import { type FormEvent, useRef, useState } from 'react'
import { type Api, explain, reason, remove, type Task } from './client.ts'
import { EditDialog } from './EditDialog.tsx'
import { useLive, useSettled } from './hooks.ts'
import { Icon } from './Icon.tsx'
import { Empty, Failure, LoadMore, Search, Segments, Select, Skeleton } from './Parts.tsx'
import { toast } from './Toasts.tsx'

const FILTERS = { all: 'All', open: 'Open', done: 'Done' }

const SORTS = { '-createdAt': 'Newest', dueAt: 'Due date', title: 'Title', '-updatedAt': 'Changed' }

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

interface ItemProps {
  task: Task
  /** Whether the service has not answered yet what was done to it. */
  busy: boolean
  onComplete: (completed: boolean) => void
  onEdit: () => void
  onRemove: () => void
}

function Item({ task, busy, onComplete, onEdit, onRemove }: ItemProps) {
  // One that is not created yet cannot be changed.
  const disabled = task.version === 0
  return (
    <li className={task.completed ? 'task completed' : 'task'} aria-busy={busy}>
      <label>
        <input
          type="checkbox"
          checked={task.completed}
          disabled={disabled}
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
      <button type="button" className="icon" disabled={disabled} onClick={onEdit} aria-label={`Edit ${task.title}`}>
        <Icon name="pencil" />
      </button>
      <button
        type="button"
        className="icon danger"
        disabled={disabled}
        onClick={onRemove}
        aria-label={`Delete ${task.title}`}
      >
        <Icon name="bin" />
      </button>
    </li>
  )
}

export function Tasks({ tasks }: { tasks: Api['tasks'] }) {
  const [search, setSearch] = useState('')
  const [filter, setFilter] = useState<keyof typeof FILTERS>('all')
  const [sort, setSort] = useState<keyof typeof SORTS>('-createdAt')
  const q = useSettled(search.trim())
  const list = useLive(tasks, {
    limit: 20,
    sort,
    ...(q !== '' && { q }),
    ...(filter !== 'all' && { completed: filter === 'done' })
  })
  const [title, setTitle] = useState('')
  const [editing, setEditing] = useState<Task | null>(null)
  const input = useRef<HTMLInputElement>(null)

  function showAll() {
    setSearch('')
    setFilter('all')
  }

  function add(event: FormEvent) {
    event.preventDefault()
    const text = title.trim()
    if (text === '') return
    setTitle('')
    // A new task is not to vanish behind a filter.
    if (filter === 'done' || q !== '') showAll()
    tasks.create({ title: text }).catch((error) => {
      // What was typed is given back, unless something else is there by now.
      setTitle((now) => now || text)
      toast(`“${text}” was not added: ${reason(error)}.`)
    })
  }

  /** Needs no version: whatever else was changed, this is what the user means. */
  const complete = ({ id, title }: Task, completed: boolean) =>
    tasks.change(id, { completed }).catch((error) => explain(error, title))

  function removeTask(task: Task) {
    // The button that had the focus is gone.
    input.current?.focus()
    const { title, description, completed, dueAt } = task
    remove(tasks, task, { title, description, completed, dueAt }, title)
  }

  const isEmpty = list.loaded && list.rows.length === 0
  // What another query did not find says nothing of this one.
  const isFiltered = q !== '' || filter !== 'all' || list.isStale
  return (
    <main>
      <h1 className="hidden">Tasks</h1>
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

      <div className="toolbar">
        <Search what="tasks" value={search} onChange={setSearch} />
        <Segments what="Filter" choices={FILTERS} value={filter} onChange={setFilter} />
        <Select what="Sort by" choices={SORTS} value={sort} onChange={setSort} />
      </div>

      {list.error !== undefined && <Failure what="Your tasks" error={list.error} onRetry={list.reload} />}
      {!list.loaded && list.error === undefined && <Skeleton />}
      {isEmpty && !isFiltered && (
        <Empty icon="check" title="Nothing to do">
          Enjoy it, or add your first task above.
        </Empty>
      )}
      {isEmpty && isFiltered && (
        <Empty icon="search" title="Nothing found">
          No task matches.{' '}
          <button type="button" className="link" onClick={showAll}>
            Show all
          </button>
        </Empty>
      )}
      {list.rows.length > 0 && (
        <ul className={list.isStale ? 'list stale' : 'list'} aria-label="Your tasks">
          {list.rows.map((task) => (
            <Item
              key={task.id}
              task={task}
              busy={list.pending.has(task.id)}
              onComplete={(completed) => complete(task, completed)}
              onEdit={() => setEditing(task)}
              onRemove={() => removeTask(task)}
            />
          ))}
        </ul>
      )}
      {list.hasMore && <LoadMore more={list.more} />}
      {editing && <EditDialog tasks={tasks} task={editing} onClose={() => setEditing(null)} />}
    </main>
  )
}
