/** The members of an item by their names. */
export type Members = Record<string, unknown>

/** Bytes in hexadecimal. */
export const hexOf = (bytes: Iterable<number>) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')

/** Bounds what is remembered: forgets the oldest keys beyond so many. */
export function keepNewest(map: Map<string, unknown>, count: number): void {
  for (const oldest of map.keys()) {
    if (map.size <= count) break
    map.delete(oldest)
  }
}

const MOMENT = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/i

/**
 * A date-time (RFC 3339) as a text that sorts by its moment, with all its digits: `Date` keeps milliseconds only.
 * Undefined for any other value.
 */
export function moment(value: unknown): string | undefined {
  const [, seconds, fraction = '', offset] = (typeof value === 'string' && MOMENT.exec(value)) || []
  const date = new Date(`${seconds}${offset}`)
  return Number.isNaN(date.getTime()) ? undefined : `${date.toISOString().slice(0, 19)}.${fraction.padEnd(9, '0')}`
}

/** Whether the service takes two values of a member for the same: `10:00+01:00` is `09:00Z`. */
export const isSame = (a: unknown, b: unknown): boolean =>
  JSON.stringify(a) === JSON.stringify(b) || (moment(a) !== undefined && moment(a) === moment(b))
