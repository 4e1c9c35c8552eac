import type { TableShape } from './shape.ts'

export type Values = Record<string, unknown>

export interface Row {
  id: string
  values: Values
  version: number
  /** The body of the create, if it chose the id. */
  body: string | undefined
}

/** What one user has: the rows of each table, by their ids. */
export type World = Map<string, Row>[]

/** An answer by which an operation is refused: the code, and where in the body. */
export interface Refusal {
  code: string
  pointers: string[]
}

/** What becomes of an operation. It may be refused in one of several ways, where nothing says which is found first. */
export type Outcome = { row?: Row; isNew?: boolean; refused?: Refusal[]; missing?: boolean }

export const emptyWorld = (shapes: TableShape[]): World => shapes.map(() => new Map())
export const copyOf = (world: World): World =>
  world.map((rows) => new Map([...rows].map(([id, row]) => [id, { ...row }])))

const refuse = (code: string, ...pointers: string[]): Outcome => ({ refused: [{ code, pointers }] })

/** The value by which a row shares a unique set with others; undefined when it shares it with none. */
function keyOf({ members, caseInsensitive, nullsNotDistinct }: TableShape['unique'][number], values: Values) {
  const parts = members.map((name) => values[name] ?? null)
  if (parts.includes(null) && !nullsNotDistinct) return undefined
  return JSON.stringify(parts.map((one) => (caseInsensitive && typeof one === 'string' ? one.toLowerCase() : one)))
}

/** The unique sets of a table that a row with these values would share with another. */
function shared({ unique }: TableShape, rows: Map<string, Row>, id: string, values: Values): Refusal[] {
  return unique.flatMap((set) => {
    const key = keyOf(set, values)
    const other = [...rows.values()].find((row) => row.id !== id && key !== undefined && keyOf(set, row.values) === key)
    return other === undefined ? [] : [{ code: 'not_unique', pointers: set.members.map((name) => `/${name}`) }]
  })
}

/** The references of a row with these values that lead to no row of its owner. */
const dangling = ({ members }: TableShape, world: World, values: Values): Refusal[] =>
  members.flatMap(({ name, target }) => {
    const value = values[name] ?? null
    const isKnown = target === undefined || value === null || world[target]?.has(String(value))
    return isKnown ? [] : [{ code: 'no_such_reference', pointers: [`/${name}`] }]
  })

/** What rules of the schema hold for the rows of one user. Each operation changes the world unless it is refused. */
export class Model {
  readonly #shapes: TableShape[]
  readonly world: World

  constructor(shapes: TableShape[], world: World) {
    this.#shapes = shapes
    this.world = world
  }

  #table(t: number): { shape: TableShape; rows: Map<string, Row> } {
    return { shape: this.#shapes[t] as TableShape, rows: this.world[t] as Map<string, Row> }
  }

  /** Writes a row. PostgreSQL looks at the unique sets first. */
  #write(t: number, row: Row): Outcome {
    const { shape, rows } = this.#table(t)
    rows.set(row.id, row)
    const found = shared(shape, rows, row.id, row.values)
    const refused = found.length > 0 ? found : dangling(shape, this.world, row.values)
    return refused.length > 0 ? { refused } : { row }
  }

  /** Whether a table has room for creates, of which some may repeat one that was done. */
  hasRoom(t: number, bodies: Values[]): boolean {
    const { shape, rows } = this.#table(t)
    const more = bodies.filter(({ id }) => !rows.has(String(id))).length
    return rows.size + more <= (shape.max ?? Number.POSITIVE_INFINITY)
  }

  /** @param fallback the id of an item that chooses none */
  create(t: number, body: Values, fallback: string): Outcome {
    const { shape, rows } = this.#table(t)
    const { id = fallback, ...values } = body as Values & { id?: string }
    const [there, text] = [rows.get(id), JSON.stringify(body)]
    if (there !== undefined) return there.body === text ? { row: there } : refuse('already_exists', '/id')
    if (!this.hasRoom(t, [body])) return refuse('quota_exceeded')
    const whole = Object.fromEntries(shape.members.map(({ name }) => [name, values[name] ?? null]))
    const created = this.#write(t, { id, values: whole, version: 1, body: body.id === undefined ? undefined : text })
    return { ...created, isNew: true }
  }

  update(t: number, id: string, change: Values): Outcome {
    const before = this.#table(t).rows.get(id)
    if (before === undefined) return { missing: true }
    return this.#write(t, { ...before, values: { ...before.values, ...change }, version: before.version + 1 })
  }

  remove(t: number, id: string): Outcome {
    if (!this.#table(t).rows.has(id)) return { missing: true }
    const deleted = this.#cascade(t, id)
    const cleared: [number, Row][] = []
    for (const { table, row, name, onDelete } of this.#referring(deleted)) {
      if (onDelete !== 'clear') return refuse('still_referenced')
      const changed = { ...row, ...this.world[table]?.get(row.id) }
      const after = { ...changed, values: { ...changed.values, [name]: null }, version: changed.version + 1 }
      this.world[table]?.set(row.id, after)
      cleared.push([table, after])
    }
    deleted.forEach((ids, table) => {
      for (const one of ids) this.world[table]?.delete(one)
    })
    const stuck = cleared.some(([table, { id, values }]) => {
      const { shape, rows } = this.#table(table)
      return shared(shape, rows, id, values).length > 0
    })
    return stuck ? refuse('still_referenced') : {}
  }

  /** The ids, by table, of what is deleted together with a row. */
  #cascade(t: number, id: string): Set<string>[] {
    const deleted = this.#shapes.map(() => new Set<string>())
    const todo: [number, string][] = [[t, id]]
    for (const [table, one] of todo) {
      if (deleted[table]?.has(one)) continue
      deleted[table]?.add(one)
      const gone = this.#shapes.map((_, i) => new Set(i === table ? [one] : []))
      for (const { table, row, onDelete } of this.#referring(gone, deleted)) {
        if (onDelete === 'cascade') todo.push([table, row.id])
      }
    }
    return deleted
  }

  /** The references of rows that are not `deleted` to rows of `gone`. */
  #referring(gone: Set<string>[], deleted = gone) {
    return this.#shapes.flatMap(({ members }, table) =>
      [...(this.world[table]?.values() ?? [])]
        .filter(({ id }) => !deleted[table]?.has(id))
        .flatMap((row) =>
          members
            .filter(({ name, target }) => target !== undefined && gone[target]?.has(String(row.values[name])))
            .map(({ name, onDelete }) => ({ table, row, name, onDelete }))
        )
    )
  }
}
