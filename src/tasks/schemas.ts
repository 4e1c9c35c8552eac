import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { UUID_PATTERN } from '../http/uuid.ts'

// The formats are those of src/http/formats.ts.
const Title = Type.String({ minLength: 1, maxLength: 200, format: 'text', examples: ['Buy milk'] })
// One schema of two types, not a union of two schemas: what is wrong is then said once.
const Description = Type.Unsafe<string | null>({
  type: ['string', 'null'],
  maxLength: 10_000,
  format: 'text',
  examples: ['Two litres, semi-skimmed']
})
const Completed = Type.Boolean({ examples: [false] })
const DueAt = Type.Unsafe<string | null>({
  type: ['string', 'null'],
  format: 'date-time',
  description: 'RFC 3339, with an offset; answered in UTC',
  examples: ['2030-01-31T09:00:00Z']
})
const Moment = Type.String({ format: 'date-time', examples: ['2026-11-22T17:11:08.123456+00:00'] })

/** A task as the API answers it. PostgreSQL writes this JSON (see store.ts); the tests hold it to this schema. */
export const Task = Type.Object(
  {
    id: Type.String({
      format: 'uuid',
      description: 'UUIDv7 (RFC 9562)',
      examples: ['019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708']
    }),
    title: Title,
    description: Description,
    completed: Completed,
    dueAt: Type.Unsafe<string | null>({ ...Moment, type: ['string', 'null'], description: 'In UTC' }),
    createdAt: Moment,
    updatedAt: Moment,
    version: Type.Integer({ minimum: 1, description: 'Grows by one with each update; the `ETag` is made of it' })
  },
  { title: 'Task', additionalProperties: false }
)

/** The body of a create. What is not named here (an owner, an id) is refused, not ignored. */
export const NewTask = Type.Object(
  {
    title: Title,
    description: Type.Optional(Description),
    completed: Type.Optional(Completed),
    dueAt: Type.Optional(DueAt)
  },
  { title: 'NewTask', additionalProperties: false }
)
export type NewTask = Static<typeof NewTask>

/**
 * The body of an update: the members to change; an absent one keeps its value (RFC 7396 for PATCH, the same for PUT).
 */
export const TaskChange = Type.Partial(NewTask, { title: 'TaskChange', additionalProperties: false, minProperties: 1 })
export type TaskChange = Static<typeof TaskChange>

/** The orders of a list; a leading `-` turns one round. */
export const SORTS = [
  'createdAt',
  '-createdAt',
  'updatedAt',
  '-updatedAt',
  'dueAt',
  '-dueAt',
  'title',
  '-title'
] as const
export type Sort = (typeof SORTS)[number]

export const DEFAULT_SORT = '-createdAt'
export const DEFAULT_LIMIT = 50

// 24 bytes, and a title of 200 characters of 4 bytes each, as base64url (cursor.ts).
const CURSOR_LENGTH = 1099

/** The query string of a list: which tasks, in which order, and how many at a time. */
export const TaskQuery = Type.Object({
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 100, default: DEFAULT_LIMIT, description: 'At most so many tasks' })
  ),
  cursor: Type.Optional(
    Type.String({
      pattern: '^[\\w-]+$',
      maxLength: CURSOR_LENGTH,
      description: 'From the `Link` of the page before; opaque, and good for the same filter and order only'
    })
  ),
  sort: Type.Optional(
    Type.Unsafe<Sort>({
      type: 'string',
      enum: [...SORTS],
      default: DEFAULT_SORT,
      description:
        'The order, the other way round with `-`. Titles are in the order of their code points, ' +
        '`A` to `Z` taken as `a` to `z`; tasks without `dueAt` come last both ways'
    })
  ),
  completed: Type.Optional(Type.Boolean({ description: 'Only those that are, or are not' })),
  q: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      format: 'text',
      description: 'Only those with this text in the title or the description, in whatever case'
    })
  ),
  dueBefore: Type.Optional(
    Type.String({ format: 'date-time', description: 'Only those due before this moment (RFC 3339, with an offset)' })
  ),
  dueAfter: Type.Optional(
    Type.String({ format: 'date-time', description: 'Only those due after this moment (RFC 3339, with an offset)' })
  ),
  count: Type.Optional(
    Type.Literal('exact', { description: 'Asks for `X-Total-Count`, which costs a statement of its own' })
  )
})
export type TaskQuery = Static<typeof TaskQuery>

/** The most that a batch does. */
export const MAX_OPERATIONS = 100

const Id = Type.String({ pattern: UUID_PATTERN, examples: ['019ab3c4-5d6e-7f80-91a2-b3c4d5e6f708'] })
const Version = Type.Optional(
  Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1, description: 'The version that it must have' })
)
const operations = <T extends TSchema>(items: T) =>
  Type.Optional(Type.Array(items, { minItems: 1, maxItems: MAX_OPERATIONS }))

/** The body of a batch: what to create, to update and to delete, in this order. */
export const TaskBatch = Type.Object(
  {
    create: operations(NewTask),
    update: operations(Type.Object({ id: Id, version: Version, change: TaskChange }, { additionalProperties: false })),
    delete: operations(Type.Object({ id: Id, version: Version }, { additionalProperties: false }))
  },
  { additionalProperties: false, minProperties: 1, description: `Up to ${MAX_OPERATIONS} operations in all` }
)
export type TaskBatch = Static<typeof TaskBatch>

/** What a batch answers: the tasks as they are now, and the ids of those that are gone, in the order of the body. */
export const TaskBatchResult = Type.Object(
  { created: Type.Array(Task), updated: Type.Array(Task), deleted: Type.Array(Type.String({ format: 'uuid' })) },
  { additionalProperties: false }
)
