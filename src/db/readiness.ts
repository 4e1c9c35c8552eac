import { DISTRIBUTED, type Distribution, TRIGGERS, type Triggered } from './distribution.ts'
import { APPLIED_VERSIONS, mismatch, REMEDIES, type Versions } from './migrate.ts'
import type { Send } from './send.ts'
import { SETTING_NAMES, unfit } from './settings.ts'

/** A column, by the names of its table and of itself in SQL. */
export type ColumnName = readonly [table: string, column: string]

/**
 * What the database reports of its schema, of the role that we connect as, and of the tables. Their names and those of
 * their columns are parameters, and their rows are not looked at.
 */
const USABILITY = `
  select current_user, bool_and(row_security_active(name::oid) = $1),
    bool_and(has_table_privilege(name, 'select') and has_table_privilege(name, 'insert')
      and has_table_privilege(name, 'update') and has_table_privilege(name, 'delete')),
    ${APPLIED_VERSIONS},
    (select json_object_agg(name, current_setting(name)) from unnest(string_to_array($2, ',')) name),
    ${TRIGGERS}, to_regclass('pg_dist_partition') is not null,
    (select string_agg(format('%s.%s', one ->> 0, one ->> 1), ', ') from json_array_elements($4::json) one
      where not exists (select from pg_attribute where not attisdropped
        and attrelid = quote_ident(one ->> 0)::regclass and attname = one ->> 1))
  from unnest(string_to_array($3, ',')::regclass[]) name`

/** Without tables there is nothing to be bound by, or to be used. */
type Usability = [
  role: string,
  bound: boolean | null,
  usable: boolean | null,
  applied: Versions,
  settings: Record<string, string>,
  triggers: Triggered[] | null,
  hasCitus: boolean,
  lacking: string | null
]

const GENERATE = 'run npx rowkeeper generate, and then npx rowkeeper migrate'

/** Finds out whether the service can work with its database. */
export class Readiness {
  readonly #send: Send
  readonly #expected: Versions
  readonly #distribution: Distribution
  /** Whether the schema had the expected version once. */
  #met = false

  /**
   * @param expected the versions of the schema (`versionsOf`)
   * @param distribution is told what the database has
   */
  constructor(send: Send, expected: Versions, distribution: Distribution) {
    this.#send = send
    this.#expected = expected
    this.#distribution = distribution
  }

  /** See `readinessProblem` of a database. */
  async problem(tables: Iterable<string>, columns: readonly ColumnName[] = []): Promise<string | undefined> {
    const names = [...tables].map((name) => `"${name}"`).join()
    const asked = [this.#distribution.rls, SETTING_NAMES.join(), names, JSON.stringify(columns)]
    const [row] = await this.#send(USABILITY, asked)
    const [role, bound, usable, applied, settings, triggers, hasCitus, lacking] = row as Usability
    if (usable === false) return `The role ${role} may not read and write ${names}: grant it that.`
    const setting = unfit(settings, role)
    if (setting !== undefined) return setting
    if (bound === false) return this.#unbound(role)
    const distributed = hasCitus ? (await this.#send(DISTRIBUTED, [names])).map(([table]) => String(table)) : []
    const unprepared = this.#distribution.update(triggers ?? [], distributed)
    if (unprepared !== undefined) return unprepared
    const difference = mismatch(applied, this.#expected)
    if (difference !== undefined && !(this.#met && difference === 'newer')) return REMEDIES[difference]
    if (lacking !== null) return `The database lacks ${lacking}: ${GENERATE}.`
    this.#met ||= difference === undefined
    return undefined
  }

  #unbound(role: string): string {
    return this.#distribution.rls
      ? `DATABASE_RLS is true, but row-level security does not bind the role ${role}: let DATABASE_URL ` +
          'connect as a role that does not own the tables, is no superuser and has no BYPASSRLS.'
      : `DATABASE_RLS is not set, but row-level security binds the role ${role}: set it to true, ` +
          'or connect as the owner of the tables.'
  }
}
