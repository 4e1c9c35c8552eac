import { type SQL, sql } from 'drizzle-orm'
import type { Owner } from '../auth/user.ts'
import { jsonOf } from '../db/json.ts'
import type { OwnedBy } from '../db/owned.ts'
import type { Run, Within } from '../db/transaction.ts'
import { readCursor, writeCursor } from './cursor.ts'
import type { Declaration } from './declaration.ts'
import { DEFAULT_LIMIT, DEFAULT_SORT, type Query } from './query.ts'
import type { Sort } from './sorts.ts'

/** A page of items as a JSON array in UTF-8, and the cursor of the next one, null when there is nothing more. */
export interface Page {
  json: Buffer
  next: string | null
}

/** No UUID sorts after this one, or before that one (RFC 9562 sections 5.9 and 5.10): from there is the first page. */
const MAX_UUID = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
const NIL_UUID = '00000000-0000-0000-0000-000000000000'

/** The `id` of the first page. */
const firstId = ({ key, descending }: Sort) => (key !== undefined ? null : descending ? MAX_UUID : NIL_UUID)

type ListRun = Run<{ json: Buffer; count: Buffer }[]>

/** The statements of one order. */
interface Ordered {
  sort: Sort
  filtered: (query: Query) => ListRun
  /** For a list of all items in the order of creation. */
  unfiltered: ListRun | undefined
}

/** The lists of a resource, of one owner at a time. Part of the store (`store.ts`). */
export class Lists {
  readonly #declaration: Declaration
  /** What stands before each element but the first. */
  readonly #start: string
  readonly #sorts: ReadonlyMap<string, Ordered>
  readonly #count: (query: Query) => Run<{ count: number }[]>

  constructor(owned: OwnedBy, declaration: Declaration) {
    const own = owned(declaration.table)
    this.#declaration = declaration
    // A document may have text that looks like the start of an item, but no line break: jsonOf replaces those.
    const separator = declaration.hasDocuments ? ',\n' : ','
    // A quotation mark inside a JSON string is escaped, so this is only ever the start of an element.
    this.#start = `${separator}{"id":"`
    const columns = Object.fromEntries(
      Object.entries(declaration.publicColumns).map(([name, column]) => [name, sql`${column}`.as(name)])
    )
    const element = jsonOf(declaration.publicColumns, 'page')
    const fields = {
      json: sql<Buffer>`concat('[', string_agg(${element}, ${sql.raw(`'${separator}'`)}), ']')`,
      count: sql<Buffer>`count(*)`
    }
    const prepare = ({ by, after }: Sort, conditions: SQL[], scan: boolean): ListRun =>
      own.prepare((own) => {
        const page = own
          .select(columns, after, ...conditions)
          .orderBy(...by)
          .limit(sql.placeholder('limit'))
          .as('page')
        // Read as text and written as bytes again, a page costs twice that where not all of it is ASCII.
        return { ...own.selectFrom(page, fields), bytes: true, scan }
      })
    this.#sorts = new Map(
      declaration.sorts.map((sort) => [
        sort.name,
        {
          sort,
          filtered: this.#prepareEach((conditions) => prepare(sort, conditions, true)),
          // Where nothing is sorted either, PostgreSQL would plan for the filters, and might read all of the owner's
          // for them.
          unfiltered: sort.key === undefined ? prepare(sort, [], false) : undefined
        }
      ])
    )
    this.#count = this.#prepareEach((conditions) =>
      own.prepare((own) => ({ ...own.select({ count: sql<number>`count(*)::int` }, ...conditions), scan: true }))
    )
  }

  /** Prepares a statement for each filter that has an index, and one for the other queries. Returns what chooses. */
  #prepareEach<R>(prepare: (conditions: SQL[]) => R): (query: Query) => R {
    const { filters } = this.#declaration
    const conditions = filters.map(({ condition }) => condition)
    const byIndex = filters.flatMap(({ name, indexed }, i) =>
      indexed === undefined ? [] : [{ name, run: prepare(conditions.with(i, indexed)) }]
    )
    const run = prepare(conditions)
    return (query) => byIndex.find(({ name }) => query[name] !== undefined)?.run ?? run
  }

  /** A page of the list that is asked for. It throws `validation_failed` for a cursor of another list. */
  async list(owner: Owner, query: Query = {}, within?: Within): Promise<Page> {
    const { limit = DEFAULT_LIMIT, sort: name = DEFAULT_SORT, cursor } = query
    const { sort, filtered, unfiltered } = this.#sorts.get(name) as Ordered
    const list = { sort, filters: this.#declaration.filters.map(({ name }) => query[name]) }
    const from = cursor === undefined ? undefined : readCursor(list, cursor)
    const id = from?.id ?? firstId(sort)
    // One more than asked for tells whether there is a next page.
    const rows =
      unfiltered !== undefined && list.filters.every((value) => value === undefined)
        ? await unfiltered(owner, { id, limit: limit + 1 }, within)
        : await filtered(query)(
            owner,
            { ...this.#filterValues(query), id, key: from?.key ?? null, limit: limit + 1 },
            within
          )
    const { json, count } = rows[0] as (typeof rows)[number]
    if (Number(count.toString()) <= limit) return { json, next: null }
    // What is one too many is cut off, and the comma before it ends the array.
    const end = json.lastIndexOf(this.#start)
    json.write(']', end)
    const before = json.lastIndexOf(this.#start, end - 1)
    const last = JSON.parse(json.toString('utf8', before < 0 ? 1 : before + this.#start.indexOf('{'), end))
    const key = sort.key === undefined ? null : sort.key.write(last[sort.key.member.name])
    return { json: json.subarray(0, end + 1), next: writeCursor(list, { id: last.id, key }) }
  }

  /** How many items the list has in all, at this moment. */
  async count(owner: Owner, query: Query, within?: Within): Promise<number> {
    const [row] = await this.#count(query)(owner, this.#filterValues(query), within)
    return (row as { count: number }).count
  }

  #filterValues(query: Query): Record<string, unknown> {
    const values: Record<string, unknown> = {}
    for (const { name, values: valuesOf } of this.#declaration.filters) Object.assign(values, valuesOf(query[name]))
    return values
  }
}
