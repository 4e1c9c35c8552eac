// Codes of postgres.js and of Node's sockets: no connection, or it broke.
const CONNECTION = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'CONNECTION_ENDED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT'
])

// PostgreSQL, appendix A: connection exceptions, a transaction that was rolled back (a deadlock), insufficient resources, operator intervention (shutdown, a cancelled
// statement), a server that is read-only, as one is while it fails over; and one that is not ours to use yet: no such
// role, database, schema or table (not migrated), or no right to it.
const SQLSTATE = /^(?:08|28|3D|3F|40|53|57)|^(?:25006|42P01|42501)$/

// Of a prepared statement: its result has other types now, it is gone, or its parameters have other types now.
const STALE = new Set(['0A000', '26000', '42804'])

/** Whether a query failed before it did anything, because the statement that was prepared for it is not valid any more. */
export const isStale = (error: unknown) => STALE.has(codeOf(error) ?? '')

// Of a connection that was there and broke.
const BROKEN = new Set(['CONNECTION_CLOSED', 'CONNECTION_DESTROYED', 'ECONNRESET', 'EPIPE'])

/** Whether the connection of a query broke: it may have done what it was to do, and nobody knows. */
export const isBroken = (error: unknown) => BROKEN.has(String(codeOf(error)))

/** What a failed query means: the database cannot be used now, it cannot hold a value, or the fault is ours. */
export function classify(error: unknown): 'unavailable' | 'value_out_of_range' | undefined {
  const code = codeOf(error)
  if (code === undefined) return undefined
  if (CONNECTION.has(code) || SQLSTATE.test(code) || STALE.has(code)) return 'unavailable'
  // Class 22, data exceptions: validation should have refused the value; the client must still not see a 500.
  return /^22/.test(code) ? 'value_out_of_range' : undefined
}

/** The SQLSTATE or socket code of a query's error, which Drizzle keeps in `cause`. */
export function codeOf(error: unknown): string | undefined {
  const { cause, code } = error as { cause?: unknown; code?: unknown }
  const inner = (cause as { code?: unknown } | undefined)?.code ?? code
  return typeof inner === 'string' && /^[A-Z0-9_]+$/.test(inner) ? inner : undefined
}
