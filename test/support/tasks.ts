import type { TSchema } from '@sinclair/typebox'
import tasksResource from '../../routes/api/tasks/index.ts'
import type { OwnedBy } from '../../src/db/owned.ts'
import { Store } from '../../src/resource/store.ts'

export { default as tasksResource } from '../../routes/api/tasks/index.ts'

/** The store of the tasks, over any access to their table. */
export const taskStore = (owned: OwnedBy) =>
  new Store({ owned, transaction: () => Promise.reject(), tables: [] }, tasksResource.declaration)

const { schemas } = tasksResource.declaration
export const [NewTask, TaskBatch] = [schemas.create, schemas.batch]
export const TaskQuery: TSchema = schemas.query

/** The orders of the list of tasks. */
export const SORTS = tasksResource.declaration.sorts.map(({ name }) => name)
