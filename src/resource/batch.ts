import { Problem } from '../http/problems.ts'
import type { AnswerFormat, Did, Operation } from './operations.ts'
import type { Context } from './routes/context.ts'
import { type Batch, MAX_OPERATIONS } from './schemas.ts'

/**
 * The operations of a batch on one resource, in the order in which they are done. It throws `validation_failed` for
 * more than a batch may have: of each kind the schema says it, of all it cannot.
 */
export function operationsIn({ create = [], update = [], delete: remove = [] }: Batch, resource: Context): Operation[] {
  const operations = [
    ...create.map((item, i) => ({ resource, pointer: `/create/${i}`, values: `/create/${i}`, create: item })),
    ...update.map((one, i) => ({ resource, pointer: `/update/${i}`, values: `/update/${i}/change`, update: one })),
    ...remove.map((one, i) => ({ resource, pointer: `/delete/${i}`, values: `/delete/${i}`, delete: one }))
  ]
  if (operations.length <= MAX_OPERATIONS) return operations
  const detail = `must NOT have more than ${MAX_OPERATIONS} operations`
  throw new Problem('validation_failed', [{ in: 'body', pointer: '', detail }])
}

/** The answer to a batch on one resource: what was done, by its kind, each in the order of the body. */
export const formatOf = (resource: Context): AnswerFormat => ({
  write(done) {
    const jsons = (how: Did['how']) =>
      done
        .filter((one) => one.how === how)
        .map(({ json }) => json)
        .join()
    return `{"created":[${jsons('created')}],"updated":[${jsons('updated')}],"deleted":[${jsons('deleted')}]}`
  },
  read(json) {
    const { created, updated, deleted } = JSON.parse(json) as Record<'created' | 'updated', { id: string }[]> & {
      deleted: string[]
    }
    return [
      ...created.map(({ id }) => ({ resource, how: 'created' as const, id })),
      ...updated.map(({ id }) => ({ resource, how: 'updated' as const, id })),
      ...deleted.map((id) => ({ resource, how: 'deleted' as const, id }))
    ]
  }
})
