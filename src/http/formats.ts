// RFC 3339 with an offset, to the microsecond that PostgreSQL keeps. A timestamptz cannot hold a leap second.
const DATE_TIME = /^(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:[0-5]\d)(\.\d{1,6})?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/

/**
 * Returns a date-time in UTC, with the fraction of a second as it was written; undefined for other text. The year must
 * be from 0001 to 9999, before and after the conversion to UTC.
 */
function inUtc(text: string): string | undefined {
  const match = DATE_TIME.exec(text)
  if (match === null) return undefined
  const [, date, time, fraction = '', offset] = match as unknown as [string, string, string, string | undefined, string]
  // Date would drop microseconds, so the fraction is not passed to it.
  const local = new Date(`${date}T${time}Z`)
  // Date reads the 31st of a short month as the 1st of the next month.
  if (Number.isNaN(local.getTime()) || !local.toISOString().startsWith(date) || date.startsWith('0000'))
    return undefined
  const shifted = new Date(`${date}T${time}${offset.toUpperCase()}`)
  const utc = shifted.toISOString()
  return utc.length === 24 && !utc.startsWith('0000') ? `${utc.slice(0, 19)}${fraction}Z` : undefined
}

/** Converts text of the format `date-time` to UTC. */
export const toUtc = (text: string) => inUtc(text) as string

/** The format `date-time`: RFC 3339 with an offset, of years 0001 to 9999, to the microsecond at most. */
export const isDateTime = (text: string) => inUtc(text) !== undefined

/** The format `date`: a day of the years 0001 to 9999 (RFC 3339, `full-date`). */
export const isDate = (text: string) => /^\d{4}-\d\d-\d\d$/.test(text) && isDateTime(`${text}T00:00:00Z`)

/** The format `text`. PostgreSQL refuses U+0000, and would store another character for a lone surrogate. */
export const isText = (text: string) => text.isWellFormed() && !text.includes('\u0000')
