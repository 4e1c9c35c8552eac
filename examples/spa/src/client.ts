import { createClient, type ItemOf, Problem, type Resource, type Row, type Wait } from 'rowkeeper/client'
import type { paths } from './api.d.ts'
import { fetchToken } from './auth.ts'
import { countdown, toast } from './Toasts.tsx'

export type Task = ItemOf<paths, '/api/tasks'>
export type Note = ItemOf<paths, '/api/notes'>

const WAITS: Record<string, string> = {
  rate_limited: 'Too much at once. Going on',
  too_many_in_flight: 'Too much at once. Going on',
  connection_lost: 'The server cannot be reached. Trying again'
}

const onWait = ({ problem, seconds }: Wait) =>
  countdown(WAITS[problem.code] ?? 'The server is busy. Trying again', seconds)

/** Rowkeeper, for the user who is signed in. */
export function connect() {
  const client = createClient<paths>({ url: import.meta.env.VITE_API_URL, token: fetchToken, onWait })
  return { client, tasks: client.resource('/api/tasks'), notes: client.resource('/api/notes') }
}

export type Api = ReturnType<typeof connect>

/** Why something failed, as the end of a sentence. */
export function reason(error: unknown): string {
  if (error instanceof Problem && error.code === 'connection_lost') return 'the server cannot be reached'
  const { message } = error as Error
  return message.charAt(0).toLowerCase() + message.slice(1)
}

/** Says why a change to an item was taken back. */
export function explain(error: unknown, name: string): void {
  const code = error instanceof Problem ? error.code : ''
  if (code.endsWith('_not_found')) toast(`“${name}” was deleted elsewhere.`)
  else if (code === 'precondition_failed') toast(`“${name}” was changed elsewhere. Have a look first.`)
  else toast(`“${name}” was not changed: ${reason(error)}.`)
}

/** The service takes the id of an item that was made within a day. */
const DAY_MS = 24 * 60 * 60 * 1000

type Kept = Row & { createdAt: string }

/** Deletes an item, and offers to create it again from `draft`: with its id, it is back at its place. */
export async function remove<Item extends Kept, Draft extends object>(
  resource: Resource<Item, Draft, object, object>,
  { id, version, createdAt }: Item,
  draft: Draft,
  name: string
): Promise<void> {
  try {
    await resource.remove(id, { version })
  } catch (error) {
    return explain(error, name)
  }
  const isRecent = Date.now() - Date.parse(createdAt) < DAY_MS
  const undo = () => resource.create(isRecent ? { ...draft, id } : draft)
  toast(`“${name}” was deleted.`, {
    label: 'Undo',
    run: () => undo().catch((error) => toast(`“${name}” was not brought back: ${reason(error)}.`))
  })
}
