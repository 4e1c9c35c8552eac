import { and, eq, getTableName, type Placeholder, type SQL, type Subquery, sql } from 'drizzle-orm'
import { getTableConfig, type PgColumn, type PgTable } from 'drizzle-orm/pg-core'
import type { SelectResultFields } from 'drizzle-orm/query-builders/select.types'
import type { BuildOptions, Db, Prepare } from './prepare.ts'
import { insertIfRoom } from './room.ts'
import { NAMED_OWNER, OWNER_IS_NAMED } from './row-security.ts'
import { type Built, type Fields, OWNER } from './statement.ts'
import { type changes, feeds } from './system-tables.ts'

/** A table whose rows belong to users (`ownedTable` in `src/db/tables.ts` makes one). */
export type OwnedTable = PgTable & { userId: PgColumn }

type Inserted<T extends OwnedTable> = Omit<T['$inferInsert'], 'userId'>
type Value<V> = V | SQL | Placeholder

/** The values of a new row; of its owner there is nothing to say. */
type NewRow<T extends OwnedTable> = { [Column in keyof Inserted<T>]: Value<Inserted<T>[Column]> }

/** The columns that an update sets. A row never changes its owner. */
type Change<T extends OwnedTable> = { [Column in keyof Inserted<T>]?: Value<Inserted<T>[Column]> } & { userId?: never }

/** What an `ownedTable` has, whose changes can be recorded. */
type Versioned = OwnedTable & { id: PgColumn; version: PgColumn }

/**
 * The way to the rows of `table`, for the store of its resource: `app.owned` (`plugins/database.ts`). With `recorded`
 * what is written to it, an `ownedTable`, is recorded for those who listen (`src/changes`).
 */
export type OwnedBy = <T extends OwnedTable>(
  table: T,
  options?: { recorded?: boolean }
) => ReturnType<typeof ownedBy<T>>

declare const ownerBound: unique symbol

type RowOf<F extends Fields> = SelectResultFields<F>

/** The rows of a select, to select from. */
type Rows = Subquery & { readonly [ownerBound]: true }

// The methods of Drizzle's builder that keep the filter. Another `where` would replace it, a join or a union would add
// other rows, and a builder that is executed here would name its own owner.
interface Select<F extends Fields> extends Built<RowOf<F>[]> {
  orderBy(...columns: (PgColumn | SQL)[]): Select<F>
  limit(limit: number | Placeholder): Select<F>
  for(strength: 'update'): Select<F>
  as(alias: string): Rows
}

/** What of Drizzle's builder of a select is used. */
interface Selecting {
  orderBy(...columns: (PgColumn | SQL)[]): Selecting
  limit(limit: number | Placeholder): Selecting
  for(strength: 'update'): Selecting
  as(alias: string): unknown
  toSQL: Built<unknown>['statement']['toSQL']
}

const selected = <F extends Fields>(statement: Selecting, fields: F): Select<F> => ({
  statement,
  fields,
  orderBy: (...columns) => selected(statement.orderBy(...columns), fields),
  limit: (limit) => selected(statement.limit(limit), fields),
  for: (strength) => selected(statement.for(strength), fields),
  as: (alias) => statement.as(alias) as Rows
})

interface Writing {
  returning(fields: Fields): Built<unknown>['statement']
}

/**
 * What an insert does when there is a row of its key: it fails, or does nothing. With `unless alike` it also does
 * nothing when there is a row that is the same in a unique set.
 */
type How = 'or fail' | 'unless there' | 'unless alike'

interface Write {
  returning<F extends Fields>(fields: F): Built<RowOf<F>[]>
}

/** The statements on `table` that can be built: each is about the rows of one owner, who is named when it runs. */
function statements<T extends OwnedTable>(
  db: Db,
  { namesOwner, recordsChanges }: BuildOptions,
  table: T,
  recorded: boolean
) {
  const owner = sql.placeholder(OWNER)
  const naming = namesOwner ? [OWNER_IS_NAMED] : []
  // In parentheses, or an `or` among them would end the filter.
  const own = (conditions: SQL[]) =>
    and(eq(table.userId, owner), ...[...naming, ...conditions].map((one) => sql`(${one})`))
  const bound = table as PgTable
  const listens = and(eq(feeds.userId, owner), sql`(${feeds.expiresAt} > now())`)

  // In the statement itself, so that there is no change without its record. For an owner to whom nobody listens it is
  // one look into an index; a trigger cost ten times that.
  const write = (statement: Writing, kind: (typeof changes.kind.enumValues)[number]): Write => ({
    returning(fields) {
      if (!recorded || !recordsChanges) return { statement: statement.returning(fields), fields }
      const { userId, id, version } = table as unknown as Versioned
      const [resource, how] = [getTableName(table), kind].map((text) => sql.raw(`'${text}'`))
      const record = sql`case when exists(select from ${feeds} where ${listens})
        then record_change(${userId}, ${resource}, ${id}, ${version}, ${how}) end`
      return { statement: statement.returning({ ...fields, record }), fields }
    }
  })

  return {
    /** `select fields from table where user_id = owner and …`. */
    select: <F extends Fields>(fields: F, ...conditions: SQL[]) =>
      selected(db.select(fields).from(bound).where(own(conditions)) as unknown as Selecting, fields),

    /** `select fields from (a select of the above)`. */
    selectFrom: <F extends Fields>(rows: Rows, fields: F) =>
      selected(db.select(fields).from(rows as Subquery) as unknown as Selecting, fields),

    /** `insert into table values (owner, …)`. */
    insert: (row: NewRow<T>, how: How = 'or fail') => {
      const statement = db.insert(bound).values({ ...row, userId: namesOwner ? NAMED_OWNER : owner })
      if (how === 'or fail') return write(statement as unknown as Writing, 'created')
      const key = { target: getTableConfig(bound).primaryKeys.flatMap(({ columns }) => columns) }
      const done = statement.onConflictDoNothing(how === 'unless there' ? key : undefined)
      return write(done as unknown as Writing, 'created')
    },

    /**
     * The same, if the owner has room for one more row (`src/db/room.ts`). Otherwise it returns no row. Each value has
     * a cast.
     */
    insertIfRoom: (row: Record<string, SQL>, how: Exclude<How, 'unless alike'> = 'or fail') =>
      write(insertIfRoom(table as unknown as Versioned, row, how, { namesOwner, recordsChanges }), 'created'),

    /** `update table set … where user_id = owner and …`. Whatever `change` says, the owner stays. */
    update: (change: Change<T>, ...conditions: SQL[]) =>
      write(
        db
          .update(bound)
          .set({ ...change, userId: undefined })
          .where(own(conditions)) as unknown as Writing,
        'updated'
      ),

    /** `delete from table where user_id = owner and …`. */
    delete: (...conditions: SQL[]) => write(db.delete(bound).where(own(conditions)) as unknown as Writing, 'deleted')
  }
}

/**
 * The one way to an owned table: statements that begin their `where` with its owner, and run for one. The owner is a
 * type that only a verified token has (`src/auth/user.ts`), so there is nothing to forget and nothing else to pass.
 */
export function ownedBy<T extends OwnedTable>(prepare: Prepare, table: T, recorded = false) {
  return {
    /**
     * Prepares a statement, once.
     *
     * @param build makes it, with `sql.placeholder(name)` for each value that differs from run to run
     * @returns runs it for an owner, with the values of its placeholders, in a transaction if one is given; it throws
     * what the database answers
     */
    prepare<R>(build: (own: ReturnType<typeof statements<T>>) => Built<R>) {
      return prepare((db, options) => build(statements(db, options, table, recorded)))
    }
  }
}
