import { createHash } from 'node:crypto'

/** Serializes the members of each object in sorted order, because their order has no meaning (RFC 8259 section 4). */
const canonical = (value: unknown) =>
  JSON.stringify(value, (_name, nested: unknown) =>
    typeof nested === 'object' && nested !== null && !Array.isArray(nested)
      ? Object.fromEntries(Object.entries(nested).sort(([a], [b]) => (a < b ? -1 : 1)))
      : nested
  )

/** A digest by which the same request is known again. The order of the members of a JSON value has no meaning. */
export const digestOf = (request: unknown): string =>
  createHash('sha256').update(canonical(request)).digest('base64url')
