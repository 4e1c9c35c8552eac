import type { BuildOptions } from './prepare.ts'
import { type Built, compile, type Statement } from './statement.ts'

/** What the database has of docs/citus.sql for an owned table. */
export interface Triggered {
  table: string
  /** Whether the table has the trigger. */
  has: boolean
  /** Whether the script gives it one. */
  needs: boolean
}

/** The triggers of the tables `name` (`Triggered`), as part of a query. The script names them by the table. */
export const TRIGGERS = `json_agg((select json_build_object('table', relname,
  'has', exists(select from pg_trigger where tgrelid = name and tgname = relname || '_rowkeeper' and tgenabled <> 'D'),
  'needs', relname = 'feeds' or relname <> 'changes' and
    (select count(*) from pg_attribute where attrelid = name and attname in ('id', 'version')) = 2)
  from pg_class where oid = name))`

/** The tables that Citus distributes, of those that the parameter names. */
export const DISTRIBUTED = `
  select relname from pg_dist_partition join pg_class on oid = logicalrelid
  where logicalrelid = any(string_to_array($1, ',')::regclass[]) order by relname`

const REMEDY = 'stop the service and run docs/citus.sql (docs/running.md, section "On Citus").'

/**
 * Whether the operator has run docs/citus.sql, which prepares a database for Citus. Then triggers record the changes of
 * rows where the rows are, and a function names the owner to row-level security on every node. Citus does not allow
 * statements to do this themselves. Each statement has a form for either case.
 */
export class Distribution {
  /** Whether row-level security limits each statement to its owner (`DATABASE_RLS`). */
  readonly rls: boolean
  #triggers = false
  #distributed = false

  constructor(rls: boolean) {
    this.rls = rls
  }

  /** Whether Citus distributes the rows. */
  get distributed(): boolean {
    return this.#distributed
  }

  /** Whether the owner of a statement is named before it. Otherwise each statement names its owner itself. */
  get namesFirst(): boolean {
    return this.rls && this.#triggers
  }

  /** The call by which a transaction names its owner `$1` to row-level security. It ends with the transaction. */
  get nameOwner(): string {
    return this.namesFirst ? 'rowkeeper_name_owner($1)' : "set_config('rowkeeper.owner', $1, true)"
  }

  /**
   * Compiles a statement, and returns what chooses the form to send. The form for triggers is compiled when it is first
   * sent, because most databases have none.
   */
  compile<R>(build: (options: BuildOptions) => Built<R>): () => Statement<R> {
    const inStatement = compile(build({ namesOwner: this.rls, recordsChanges: true }))
    let byDatabase: Statement<R> | undefined
    return () => {
      if (!this.#triggers) return inStatement
      byDatabase ??= compile(build({ namesOwner: false, recordsChanges: false }))
      return byDatabase
    }
  }

  /**
   * Takes over what the database has.
   *
   * @param distributed the names of the tables that Citus distributes
   * @returns why the service cannot work with that, or undefined when it can
   */
  update(tables: readonly Triggered[], distributed: readonly string[]): string | undefined {
    const names = (some: readonly { table: string }[]) => some.map(({ table }) => table).join(', ')
    const local = tables.filter(({ table }) => !distributed.includes(table))
    if (distributed.length > 0 && local.length > 0) {
      return `Citus distributes ${distributed.join(', ')}, but not ${names(local)}: ${REMEDY}`
    }
    const [some, lacking] = [tables.some(({ has }) => has), tables.filter(({ has, needs }) => needs && !has)]
    if ((some || distributed.length > 0) && lacking.length > 0) {
      const others = distributed.length > 0 ? 'Citus distributes the tables' : 'Other tables have their triggers'
      return `${others}, but the trigger is missing on ${names(lacking)}: ${REMEDY}`
    }
    this.#triggers = some
    this.#distributed = distributed.length > 0
    return undefined
  }
}
