import { asc, desc, gt, lt, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import type { Owner } from '../auth/user.ts'
import { jsonOf } from '../db/json.ts'
import type { OwnedBy } from '../db/owned.ts'
import { tasks } from '../db/schema.ts'
import type { Within } from '../db/transaction.ts'
import { toUtc } from '../http/formats.ts'
import { readCursor, writeCursor } from './cursor.ts'
import { DEFAULT_LIMIT, DEFAULT_SORT, SORTS, type Sort, type TaskQuery } from './schemas.ts'

/** A page of tasks as a JSON array in UTF-8, and the cursor of the next one, null when there is nothing more. */
export interface TaskPage {
  json: Buffer
  next: string | null
}

/** What the API shows of a row, by its names. `user_id` is not among it and never leaves the server. */
export const publicColumns = {
  id: tasks.id,
  title: tasks.title,
  description: tasks.description,
  completed: tasks.completed,
  dueAt: tasks.dueAt,
  createdAt: tasks.createdAt,
  updatedAt: tasks.updatedAt,
  version: tasks.version
} satisfies Record<string, PgColumn>

const columns = Object.fromEntries(
  Object.entries(publicColumns).map(([name, column]) => [name, sql`${column}`.as(name)])
)

/** No UUID sorts after this one, or before that one (RFC 9562 sections 5.9 and 5.10): from there is the first page. */
const MAX_UUID = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
const NIL_UUID = '00000000-0000-0000-0000-000000000000'

const element = jsonOf(publicColumns, 'page')

// A quotation mark inside a JSON string is escaped, so this is only ever the start of an element.
const ELEMENT = '{"id":"'

const [completed, q, decomposed, dueBefore, dueAfter] = ['completed', 'q', 'decomposed', 'dueBefore', 'dueAfter'].map(
  (name) => sql.placeholder(name)
)

const contains = (text: unknown) => sql`strpos(lower(${tasks.title}), lower(${text}::text)) > 0
  or strpos(lower(${tasks.description}), lower(${text}::text)) > 0`
// Null is "not asked for". The text is looked for as it is: in a LIKE its `%` and `_` would mean something.
const filters = [
  sql`${completed}::boolean is null or ${tasks.completed} = ${completed}::boolean`,
  sql`${q}::text is null or ${contains(q)} or (${decomposed}::text is not null and (${contains(decomposed)}))`,
  sql`${dueBefore}::timestamptz is null or ${tasks.dueAt} < ${dueBefore}::timestamptz`,
  sql`${dueAfter}::timestamptz is null or ${tasks.dueAt} > ${dueAfter}::timestamptz`
]

/**
 * A letter with an accent is one character or two (Unicode's normalization forms C and D; macOS writes the second), so
 * a text is looked for in both.
 */
function forms(q: string | null) {
  const [composed, decomposed] = [q?.normalize('NFC') ?? null, q?.normalize('NFD') ?? null]
  return { q: composed, decomposed: decomposed === composed ? null : decomposed }
}

const filterValues = ({ completed = null, q = null, dueBefore = null, dueAfter = null }: Nullable<TaskQuery>) => ({
  completed,
  ...forms(q),
  dueBefore: toUtc(dueBefore),
  dueAfter: toUtc(dueAfter)
})
type Nullable<T> = { [Name in keyof T]: T[Name] | null }

// What a list is sorted by before the id, of a column and of a cursor alike. The "C" collation is the same on every
// server; `none` puts a task without a date last.
const keys: Partial<Record<string, (value: SQL, none: SQL) => SQL>> = {
  updatedAt: (value) => sql`${value}::timestamptz`,
  dueAt: (value, none) => sql`coalesce(${value}::timestamptz, ${none}::timestamptz)`,
  title: (value) => sql`lower(${value}::text collate "C")`
}

/** The order of a list, and the condition by which it goes on after a cursor. */
function ordering(sort: Sort): { by: SQL[]; after: SQL } {
  const id = sql.placeholder('id')
  const descending = sort.startsWith('-')
  const column = columnOf(sort)
  const by = descending ? desc : asc
  const key = keys[column]
  // Ids are in the order of creation, and in that of the primary key.
  if (key === undefined) return { by: [by(tasks.id)], after: (descending ? lt : gt)(tasks.id, id) }
  const none = descending ? sql`'-infinity'` : sql`'infinity'`
  const row = key(sql`${publicColumns[column]}`, none)
  const last = key(sql`${sql.placeholder('key')}`, none)
  const beyond = sql.raw(descending ? '<' : '>')
  return {
    by: [by(row), by(tasks.id)],
    after: sql`${id}::uuid is null or (${row}, ${tasks.id}) ${beyond} (${last}, ${id}::uuid)`
  }
}

const columnOf = (sort: Sort) => sort.replace('-', '') as 'createdAt' | 'updatedAt' | 'dueAt' | 'title'

/** The `id` of the first page. */
const firstId = (sort: Sort) => (sort === '-createdAt' ? MAX_UUID : sort === 'createdAt' ? NIL_UUID : null)

/** Whether a list is of all tasks. */
const isUnfiltered = ({ completed, q, dueBefore, dueAfter }: TaskQuery) =>
  completed === undefined && q === undefined && dueBefore === undefined && dueAfter === undefined

/** The lists of one owner's tasks. Part of the store (`store.ts`). */
export function taskListing(owned: OwnedBy) {
  const own = owned(tasks)

  const prepare = (sort: Sort, conditions: SQL[], scan: boolean) =>
    own.prepare((own) => {
      const { by, after } = ordering(sort)
      const page = own
        .select(columns, after, ...conditions)
        .orderBy(...by)
        .limit(sql.placeholder('limit'))
        .as('page')
      const fields = {
        json: sql<Buffer>`concat('[', string_agg(${element}, ','), ']')`,
        count: sql<Buffer>`count(*)`
      }
      // Read as text and written as bytes again, a page costs twice that where not all of it is ASCII.
      return { ...own.selectFrom(page, fields), bytes: true, scan }
    })

  // Where nothing is sorted either, PostgreSQL would plan for the filters, and might read all of the owner's for them.
  const newest = prepare(DEFAULT_SORT, [], false)
  const oldest = prepare('createdAt', [], false)
  const plain: Partial<Record<Sort, typeof newest>> = { '-createdAt': newest, createdAt: oldest }
  const filtered = Object.fromEntries(SORTS.map((sort) => [sort, prepare(sort, filters, true)])) as Record<
    Sort,
    typeof newest
  >
  const count = own.prepare((own) => ({
    ...own.select({ count: sql<number>`count(*)::int` }, ...filters),
    scan: true
  }))

  return {
    /** A page of the list that is asked for. It throws `validation_failed` for a cursor of another list. */
    async list(owner: Owner, query: TaskQuery = {}, within?: Within): Promise<TaskPage> {
      const { limit = DEFAULT_LIMIT, sort = DEFAULT_SORT, cursor } = query
      const from = cursor === undefined ? undefined : readCursor(query, cursor)
      const id = from?.id ?? firstId(sort)
      // One more than asked for tells whether there is a next page.
      const direct = isUnfiltered(query) ? plain[sort] : undefined
      const rows =
        direct === undefined
          ? await filtered[sort](
              owner,
              { ...filterValues(query), id, key: from?.key || null, limit: limit + 1 },
              within
            )
          : await direct(owner, { id, limit: limit + 1 }, within)
      const { json, count } = rows[0] as (typeof rows)[number]
      if (Number(count.toString()) <= limit) return { json, next: null }
      // What is one too many is cut off, and the comma before it ends the array.
      const end = json.lastIndexOf(ELEMENT) - 1
      json.write(']', end)
      const last = JSON.parse(json.toString('utf8', json.lastIndexOf(ELEMENT, end), end))
      const column = columnOf(sort)
      const next = writeCursor(query, { id: last.id, key: keys[column] === undefined ? '' : (last[column] ?? '') })
      return { json: json.subarray(0, end + 1), next }
    },

    /** How many tasks the list has in all, at this moment. */
    async count(owner: Owner, query: TaskQuery, within?: Within): Promise<number> {
      const [row] = await count(owner, filterValues(query), within)
      return (row as { count: number }).count
    }
  }
}
