import { useCallback, useEffect, useMemo, useReducer, useState } from 'react'
import { type Api, createApi, type Draft, Problem, type Task } from './api.ts'
import { toast } from './Toasts.tsx'

/** Something that the user did and Rowkeeper has not answered yet. It is shown as done, and undone by dropping it. */
type Pending = { key: string } & (
  | { type: 'create'; task: Task; before: Task[] }
  | { type: 'update'; id: string; change: Partial<Draft> }
  | { type: 'remove'; id: string }
)

interface State {
  /** As Rowkeeper has them, newest first. */
  tasks: Task[]
  /** Whether the first page is here. */
  loaded: boolean
  next: string | null
  /** Those that arrived since the first page was asked for: it may be older than they are. */
  fresh: ReadonlySet<string>
  /** Deleted ones, which an answer that was on its way might bring back. */
  gone: ReadonlySet<string>
  pending: readonly Pending[]
}

type Action =
  | { type: 'loading' }
  | { type: 'page'; tasks: Task[]; next: string | null; first: boolean }
  | { type: 'put'; task: Task }
  | { type: 'removed'; id: string }
  | { type: 'begin'; pending: Pending }
  | { type: 'end'; key: string }

const START: State = { tasks: [], loaded: false, next: null, fresh: new Set(), gone: new Set(), pending: [] }

const newestFirst = (a: Task, b: Task) =>
  a.createdAt === b.createdAt ? (a.id < b.id ? 1 : -1) : a.createdAt < b.createdAt ? 1 : -1

/** `known` with `tasks` in it, each in its newest version. */
function merge(known: Task[], tasks: Task[]): Task[] {
  const byId = new Map(known.map((task) => [task.id, task]))
  for (const task of tasks) if ((byId.get(task.id)?.version ?? 0) <= task.version) byId.set(task.id, task)
  return [...byId.values()].sort(newestFirst)
}

function reduce(state: State, action: Action): State {
  const { tasks, loaded, next, fresh, gone, pending } = state
  switch (action.type) {
    case 'loading':
      return { ...state, fresh: new Set() }
    case 'page': {
      const arrived = action.tasks.filter(({ id }) => !gone.has(id))
      const ids = new Set(arrived.map(({ id }) => id))
      const known = action.first ? tasks.filter(({ id }) => ids.has(id) || fresh.has(id)) : tasks
      return { ...state, tasks: merge(known, arrived), loaded: true, next: action.next }
    }
    case 'put': {
      const { task } = action
      const last = tasks.at(-1)
      const onLaterPage = loaded && next !== null && last !== undefined && newestFirst(last, task) < 0
      if (gone.has(task.id) || onLaterPage) return state
      return { ...state, tasks: merge(tasks, [task]), fresh: new Set(fresh).add(task.id) }
    }
    case 'removed':
      return { ...state, tasks: tasks.filter(({ id }) => id !== action.id), gone: new Set(gone).add(action.id) }
    case 'begin':
      return { ...state, pending: [...pending, action.pending] }
    case 'end':
      return { ...state, pending: pending.filter(({ key }) => key !== action.key) }
  }
}

export type ShownTask = Task & { saving?: true }

/** What the user sees: what Rowkeeper has, with what they did since on top. */
function show(tasks: ShownTask[], pending: Pending): ShownTask[] {
  switch (pending.type) {
    case 'create': {
      // The stream may bring it before the answer does.
      const here = tasks.find(({ title }) => title === pending.task.title)
      if (here !== undefined && pending.before.every(({ id }) => id !== here.id)) return tasks
      return [{ ...pending.task, saving: true }, ...tasks]
    }
    case 'update':
      return tasks.map((task) => (task.id === pending.id ? { ...task, ...pending.change, saving: true } : task))
    case 'remove':
      return tasks.filter(({ id }) => id !== pending.id)
  }
}

const PAGE = '/api/tasks?limit=20'

export const reason = (error: unknown) =>
  error instanceof TypeError ? 'the server cannot be reached' : String((error as Error).message)

/** The tasks of the user who is signed in, kept up to date, and what can be done with them. */
export function useTasks() {
  const api = useMemo<Api>(
    () =>
      createApi((status, seconds) =>
        toast(status === 429 ? 'Too much at once. Going on' : 'The server is busy. Trying again', seconds)
      ),
    []
  )
  const [{ tasks, loaded, next, pending }, dispatch] = useReducer(reduce, START)
  const [live, setLive] = useState(false)
  const [failure, setFailure] = useState<string | null>(null)

  const load = useCallback(
    async (path = PAGE) => {
      try {
        setFailure(null)
        if (path === PAGE) dispatch({ type: 'loading' })
        dispatch({ type: 'page', ...(await api.list(path)), first: path === PAGE })
      } catch (error) {
        setFailure(reason(error))
      }
    },
    [api]
  )

  useEffect(() => {
    const controller = new AbortController()
    let asked = false
    api.follow(
      (change) => {
        if (change.type === 'put') dispatch(change)
        else if (change.type === 'remove') dispatch({ type: 'removed', id: change.id })
        else {
          // The stream asks for it when it begins, so nothing falls between the list and the first change.
          asked = true
          load()
        }
      },
      (open) => {
        setLive(open)
        // Without a stream there is still the list.
        if (!open && !asked) {
          asked = true
          load()
        }
      },
      controller.signal
    )
    return () => controller.abort()
  }, [api, load])

  /** Shows what the user did at once, and until `work` is done or has failed. */
  async function optimistic(pending: Pending, work: () => Promise<void>) {
    dispatch({ type: 'begin', pending })
    try {
      await work()
    } finally {
      dispatch({ type: 'end', key: pending.key })
    }
  }

  const put = (task: Task) => dispatch({ type: 'put', task })

  /** Says why a change to a task was taken back, and shows the task as it is by now. */
  async function explain(error: unknown, { id, title }: Task) {
    if (error instanceof Problem && error.status === 404) {
      dispatch({ type: 'removed', id })
      toast(`“${title}” was deleted elsewhere.`)
    } else if (error instanceof Problem && error.status === 412) {
      toast(`“${title}” was changed elsewhere. Have a look first.`)
      await api.get(id).then(put, () => {})
    } else {
      toast(`“${title}” was not changed: ${reason(error)}.`)
    }
  }

  const shown = useMemo(() => (loaded ? pending.reduce(show, tasks) : null), [loaded, tasks, pending])

  return {
    /** Null until they are here. */
    tasks: shown,
    next,
    live,
    failure,
    load,

    /** Rejects when it fails, so that the form can give the text back. */
    create(title: string) {
      const key = crypto.randomUUID()
      const task = { id: key, title, description: null, completed: false, dueAt: null, createdAt: '', version: 0 }
      return optimistic({ type: 'create', key, task, before: tasks }, async () => put(await api.create({ title }, key)))
    },

    /** Needs no precondition: whatever else was changed, this is what the user means. */
    complete(task: Task, completed: boolean) {
      const change = { completed }
      return optimistic({ type: 'update', key: crypto.randomUUID(), id: task.id, change }, async () =>
        put(await api.update(task.id, change))
      ).catch((error) => explain(error, task))
    },

    /** Changes the version of the task that the user saw. Rejects when it fails, with a 412 when there is another by now. */
    edit({ id, version }: Task, change: Partial<Draft>) {
      return optimistic({ type: 'update', key: crypto.randomUUID(), id, change }, async () =>
        put(await api.update(id, change, version))
      )
    },

    /** The task as it is by now. */
    async refresh({ id }: Task): Promise<Task> {
      const task = await api.get(id)
      put(task)
      return task
    },

    remove(task: Task) {
      return optimistic({ type: 'remove', key: crypto.randomUUID(), id: task.id }, async () => {
        await api.remove(task)
        dispatch({ type: 'removed', id: task.id })
      }).catch((error) => explain(error, task))
    },

    explain
  }
}
