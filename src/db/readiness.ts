import { sql } from 'drizzle-orm'
import { appliedVersions, mismatch, REMEDIES } from './migrate.ts'
import type { Db } from './prepare.ts'
import { SETTING_NAMES, unfit } from './settings.ts'

/** What the database reports of its schema, of the role that we connect as, and of the tables. */
interface Usability extends Record<string, unknown> {
  role: string
  bound: boolean
  usable: boolean
  applied: number[]
  settings: Record<string, string>
}

/** Finds out whether the service can work with its database. */
export class Readiness {
  readonly #db: Db
  readonly #rls: boolean
  readonly #expected: readonly number[]
  /** Whether the schema had the expected version once. */
  #met = false

  /** @param expected the versions of the schema (`versionsOf`) */
  constructor(db: Db, rls: boolean, expected: readonly number[]) {
    this.#db = db
    this.#rls = rls
    this.#expected = expected
  }

  /** See `readinessProblem` of a connection. */
  async problem(tables: Iterable<string>): Promise<string | undefined> {
    // Their names are a parameter, and their rows are not looked at.
    const names = [...tables].map((name) => `"${name}"`).join()
    const [row] = await this.#db.execute<Usability>(sql`
      select current_user as role, bool_and(row_security_active(name::oid) = ${this.#rls}) as bound,
        bool_and(has_table_privilege(name, 'select') and has_table_privilege(name, 'insert')
          and has_table_privilege(name, 'update') and has_table_privilege(name, 'delete')) as usable,
        ${appliedVersions} as applied,
        (select json_object_agg(name, current_setting(name))
          from unnest(string_to_array(${SETTING_NAMES.join()}, ',')) name) as settings
      from unnest(string_to_array(${names}, ',')::regclass[]) name`)
    if (row?.usable === false) return `The role ${row.role} may not read and write ${names}: grant it that.`
    const setting = row && unfit(row.settings, row.role)
    if (setting !== undefined) return setting
    if (row?.bound !== false) {
      const difference = mismatch(row?.applied, this.#expected)
      this.#met ||= difference === undefined
      return difference === undefined || (this.#met && difference === 'newer') ? undefined : REMEDIES[difference]
    }
    return this.#rls
      ? `DATABASE_RLS is true, but row-level security does not bind the role ${row.role}: let DATABASE_URL ` +
          'connect as a role that does not own the tables, is no superuser and has no BYPASSRLS.'
      : `DATABASE_RLS is not set, but row-level security binds the role ${row.role}: set it to true, ` +
          'or connect as the owner of the tables.'
  }
}
