import { codeOf } from './errors.ts'
import { REMEDIES } from './migrate.ts'

const SENTENCES: Record<string, string> = {
  '28000': 'PostgreSQL does not let in the user of DATABASE_URL: name another, or allow it in pg_hba.conf.',
  '28P01': 'PostgreSQL refuses the user or the password of DATABASE_URL: correct it.',
  '3D000': 'The database that DATABASE_URL names does not exist: create it, or name another.',
  '3F000': REMEDIES.missing,
  '42501': 'The user of DATABASE_URL lacks a right: grant it what docs/row-level-security.md says.',
  '42P01': REMEDIES.missing
}

/** What to do about an error of the database that only the operator can end, in a sentence; undefined for others. */
export const misconfiguration = (error: unknown): string | undefined => SENTENCES[codeOf(error) ?? '']
