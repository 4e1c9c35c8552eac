/**
 * What each connection sets as it is made, whatever the database or the role has: our statements read and write
 * moments as text. PgBouncer knows these by itself and gives them to whichever connection a transaction gets; it
 * refuses others.
 */
export const PINNED = { DateStyle: 'ISO, MDY', TimeZone: 'UTC', standard_conforming_strings: 'on' }

/**
 * All that our statements rely on: what an operator is told to set, and what does as well. (None of them writes an
 * interval.)
 */
const NEEDED: Record<string, { value: string; fits?: RegExp }> = {
  // postgres.js sets it by itself.
  client_encoding: { value: 'UTF8' },
  DateStyle: { value: PINNED.DateStyle, fits: /^ISO,/ },
  TimeZone: { value: PINNED.TimeZone },
  standard_conforming_strings: { value: PINNED.standard_conforming_strings },
  // With less, a floating-point number is written with fewer digits than it has.
  extra_float_digits: { value: '1', fits: /^[1-3]$/ },
  // A write that waited for another one goes on with what that left (PostgreSQL, chapter "Transaction Isolation").
  default_transaction_isolation: { value: 'read committed' },
  // Otherwise a statement behind row-level security is refused.
  row_security: { value: 'on' },
  // With zero PostgreSQL does not order conditions by their cost, and the policies may come before the owner's name.
  cpu_operator_cost: { value: '0.0025', fits: /[1-9]/ }
}

export const SETTING_NAMES = Object.keys(NEEDED)

/**
 * What to do about the settings of a session, in a sentence; undefined when they are those that our statements rely on.
 *
 * @param settings by `SETTING_NAMES`
 */
export function unfit(settings: Record<string, string>, role: string): string | undefined {
  for (const [name, { value, fits }] of Object.entries(NEEDED)) {
    const has = String(settings[name])
    if (fits === undefined ? has === value : fits.test(has)) continue
    return (
      `The setting ${name} of PostgreSQL is '${has}', and the service needs '${value}': ` +
      `alter role "${role}" set ${name} = '${value}', and let no pooler change it.`
    )
  }
  return undefined
}
