import { and, eq, type Placeholder, type SQL, type Subquery, sql } from 'drizzle-orm'
import type { PgColumn, PgTable, SelectedFields } from 'drizzle-orm/pg-core'
import type { SelectResultFields } from 'drizzle-orm/query-builders/select.types'
import type { Owner } from '../auth/user.ts'
import type { Build, Db, Preparable, Prepare } from './connect.ts'
import type { Transaction } from './transaction.ts'

/** A table whose rows belong to users (`ownedTable` in `src/db/owned-table.ts` makes one). */
export type OwnedTable = PgTable & { userId: PgColumn }

type Inserted<T extends OwnedTable> = Omit<T['$inferInsert'], 'userId'>
type Value<V> = V | SQL | Placeholder

/** The values of a new row; of its owner there is nothing to say. */
type NewRow<T extends OwnedTable> = { [Column in keyof Inserted<T>]: Value<Inserted<T>[Column]> }

/** The columns that an update sets. A row never changes its owner. */
type Change<T extends OwnedTable> = { [Column in keyof Inserted<T>]?: Value<Inserted<T>[Column]> } & { userId?: never }

/** The way to the rows of `table`, for the store of its resource: `app.owned` (`plugins/database.ts`). */
export type OwnedBy = <T extends OwnedTable>(table: T) => ReturnType<typeof ownedBy<T>>

const OWNER = 'owner'

declare const ownerBound: unique symbol

type RowOf<F extends SelectedFields> = SelectResultFields<F>

/** The rows of a select, to select from. */
type Rows = Subquery & { readonly [ownerBound]: true }

// Of what Drizzle's builders can do, what leaves the filter as it is: another `where` would take its place, a join or a union
// would bring other rows, and what is run from here would name its own owner.
interface Select<F extends SelectedFields> extends Preparable<RowOf<F>[]> {
  orderBy(...columns: (PgColumn | SQL)[]): Select<F>
  limit(limit: number | Placeholder): Select<F>
  as(alias: string): Rows
}

interface Write {
  returning<F extends SelectedFields>(fields: F): Preparable<RowOf<F>[]>
}

/** The statements on `table` that can be built: each is about the rows of one owner, who is named when it runs. */
function statements<T extends OwnedTable>(db: Db, table: T) {
  const owner = sql.placeholder(OWNER)
  // In parentheses, or an `or` among them would end the filter.
  const own = (conditions: SQL[]) => and(eq(table.userId, owner), ...conditions.map((one) => sql`(${one})`))
  const bound = table as PgTable
  return {
    /** `select fields from table where user_id = owner and …`. */
    select: <F extends SelectedFields>(fields: F, ...conditions: SQL[]) =>
      db.select(fields).from(bound).where(own(conditions)) as unknown as Select<F>,

    /** `select fields from (a select of the above)`. */
    selectFrom: <F extends SelectedFields>(rows: Rows, fields: F) =>
      db.select(fields).from(rows as Subquery) as unknown as Select<F>,

    /** `insert into table values (owner, …)`. */
    insert: (row: NewRow<T>) => db.insert(bound).values({ ...row, userId: owner }) as unknown as Write,

    /** `update table set … where user_id = owner and …`. Whatever `change` says, the owner stays. */
    update: (change: Change<T>, ...conditions: SQL[]) =>
      db
        .update(bound)
        .set({ ...change, userId: undefined })
        .where(own(conditions)) as unknown as Write,

    /** `delete from table where user_id = owner and …`. */
    delete: (...conditions: SQL[]) => db.delete(bound).where(own(conditions)) as unknown as Write
  }
}

/**
 * The one way to an owned table: statements that begin their `where` with its owner, and run for one. The owner is a type
 * that only a verified token has (`src/auth/user.ts`), so there is nothing to forget and nothing else to pass.
 */
export function ownedBy<T extends OwnedTable>(prepare: Prepare, table: T) {
  return {
    /**
     * Prepares a statement, once, under a name that no other has.
     *
     * @param build makes it, with `sql.placeholder(name)` for each value that differs from run to run
     * @returns runs it for an owner, with the values of its placeholders, in a transaction if one is given; it throws what the
     * database answers
     */
    prepare<R>(name: string, build: (own: ReturnType<typeof statements<T>>) => Preparable<R>) {
      const whole: Build<R> = (db) => build(statements(db, table))
      const run = prepare(name, whole)
      return (owner: Owner, values: Record<string, unknown> = {}, transaction?: Transaction): Promise<R> => {
        const all = { ...values, [OWNER]: owner }
        return transaction === undefined ? run(owner, all) : transaction.run(name, whole, all)
      }
    }
  }
}
