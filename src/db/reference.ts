import { type ColumnBaseConfig, entityKind } from 'drizzle-orm'
import { type PgColumn, type PgTable, PgUUID, PgUUIDBuilder, type PgUUIDBuilderInitial } from 'drizzle-orm/pg-core'

/** A table that references may name: an `ownedTable`. */
export type Target = PgTable & { userId: PgColumn; id: PgColumn }

/**
 * What becomes of the rows that refer to a deleted one: they are deleted too, or their reference becomes null. Without
 * it a row that is referred to cannot be deleted.
 */
export type OnDelete = 'cascade' | 'clear'

/** A column that holds the id of another row of the same owner. */
export class Reference extends PgUUID<ColumnBaseConfig<'string', 'PgUUID'>> {
  static override readonly [entityKind] = 'Reference'
  readonly target: () => Target
  readonly onDelete: OnDelete | undefined

  constructor(table: PgTable, config: Reference['config'], target: () => Target, onDelete: OnDelete | undefined) {
    super(table, config)
    this.target = target
    this.onDelete = onDelete
  }
}

class ReferenceBuilder<Name extends string> extends PgUUIDBuilder<PgUUIDBuilderInitial<Name>['_']> {
  static override readonly [entityKind] = 'ReferenceBuilder'
  readonly #target: () => Target
  readonly #onDelete: OnDelete | undefined

  constructor(name: Name, target: () => Target, onDelete: OnDelete | undefined) {
    super(name)
    this.#target = target
    this.#onDelete = onDelete
  }

  /** Drizzle calls it for each column of a table. */
  build(table: PgTable): Reference {
    return new Reference(table, this.config as unknown as Reference['config'], this.#target, this.#onDelete)
  }
}

/**
 * A column of an `ownedTable` that refers to another row of the same owner. PostgreSQL keeps it by the foreign key
 * `(user_id, <column>)`, so the row of another owner is as unknown as one that is not there.
 *
 * @param name of the column
 * @param target returns the table, which may be declared later. A table that refers to itself says the type of the
 * function: `(): Target => folders`
 * @param options.onDelete the service does it in the transaction of the delete, so that each change is recorded
 */
export const reference = <Name extends string>(
  name: Name,
  target: () => Target,
  { onDelete }: { onDelete?: OnDelete } = {}
) => new ReferenceBuilder(name, target, onDelete)
