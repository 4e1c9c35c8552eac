import type { Owner } from '../auth/user.ts'
import type { NewTask, TaskBatch, TaskChange } from './schemas.ts'
import type { taskStore } from './store.ts'

/** `app.storage`. */
interface Quota {
  hasRoom(owner: Owner, bytes: number): Promise<boolean>
  freed(owner: Owner): void
}

/** The most that a task takes besides its texts. */
const TASK_BYTES = 400

/** The bytes of what is of variable size in a task. */
const textBytes = ({ title, description }: TaskChange) =>
  Buffer.byteLength(title ?? '') + Buffer.byteLength(description ?? '')

const sum = <T>(values: T[], bytes: (value: T) => number) => values.reduce((sum, value) => sum + bytes(value), 0)

/**
 * Whether a user may store what the creates and updates of a batch bring. Updates that make the tasks no larger are for
 * everybody. Ask before a transaction begins.
 */
export async function hasRoom(
  quota: Quota,
  store: Pick<ReturnType<typeof taskStore>, 'getAll'>,
  owner: Owner,
  { create = [], update = [] }: TaskBatch
): Promise<boolean> {
  const bytes = sum(create, (task) => TASK_BYTES + textBytes(task)) + sum(update, ({ change }) => textBytes(change))
  if (bytes === 0 || (await quota.hasRoom(owner, bytes))) return true
  if (create.length > 0 || (await grows(store, owner, update))) return false
  quota.freed(owner)
  return true
}

/** Whether updates make the tasks that there are larger. */
async function grows(
  store: Pick<ReturnType<typeof taskStore>, 'getAll'>,
  owner: Owner,
  updates: NonNullable<TaskBatch['update']>
): Promise<boolean> {
  const found = await store.getAll(
    owner,
    updates.map(({ id }) => id)
  )
  const tasks = new Map(found.map(({ id, json }) => [id, JSON.parse(json) as NewTask]))
  const before = sum([...tasks.values()], textBytes)
  for (const { id, change } of updates) {
    const task = tasks.get(id.toLowerCase())
    if (task !== undefined) tasks.set(id.toLowerCase(), { ...task, ...change })
  }
  return sum([...tasks.values()], textBytes) > before
}
