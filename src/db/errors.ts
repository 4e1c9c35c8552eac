/** Why a statement failed, in our words. */
export interface Reason {
  code: string
  message: string
}

export const QUEUE_TIMEOUT: Reason = { code: 'QUEUE_TIMEOUT', message: 'No connection was free in time' }
export const DEADLINE_OVER: Reason = { code: 'DEADLINE_OVER', message: 'Nobody waits for the statement any more' }
export const COMMIT_FAILED: Reason = { code: 'COMMIT_FAILED', message: 'Nobody knows whether the transaction was done' }

/** The error of a statement. It names the statement: by that it is known as an error of the database. */
export const failure = ({ code, message }: Reason, query: string | undefined): Error =>
  Object.assign(new Error(message), { code, query })

// Codes of our own, of postgres.js and of Node's sockets: no connection, or it broke.
const CONNECTION = new Set([
  QUEUE_TIMEOUT.code,
  DEADLINE_OVER.code,
  COMMIT_FAILED.code,
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'CONNECTION_ENDED',
  'CONNECT_TIMEOUT',
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'EACCES',
  'EADDRNOTAVAIL',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'EMFILE',
  'ENETDOWN',
  'ENETUNREACH',
  'ENFILE',
  'ENOBUFS',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPERM',
  'EPIPE',
  'EPROTO',
  'ERR_STREAM_DESTROYED',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'ETIMEDOUT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE'
])

// PostgreSQL, appendix A: connection exceptions, a transaction that was rolled back (a deadlock), insufficient
// resources, operator intervention (shutdown, a cancelled statement), system and internal errors, in a commit too; a
// server that is read-only, as one is while it fails over; a lock or a transaction that took longer than the operator
// allows; and one that is not ours to use yet: no such role, database, schema or table (not migrated), or no right to
// it.
const SQLSTATE = /^(?:08|28|3D|3F|40|53|57|58|XX)|^(?:25006|25P03|25P04|55P03|42P01|42501)$/

// The connection is not in the state that we think it is in: PostgreSQL does not know a statement that we prepared on
// it, or knows one that we did not, or it is still in a transaction that failed.
const UNKNOWN_STATEMENT = new Set(['26000', '42P05'])
const IN_FAILED_TRANSACTION = '25P02'

// A prepared statement is stale: its result or its parameters have other types now. PostgreSQL has these codes for
// other errors too, which are the same on every connection, so its routine decides.
const STALE_RESULT = '0A000 RevalidateCachedQuery'
const STALE_PARAMETER = '42804 transformAssignedExpr'

const signatureOf = (error: unknown) => `${codeOf(error)} ${routineOf(error)}`

/**
 * Whether a prepared statement must be prepared anew. A statement that is wrong on every connection can fail in the
 * same way, and then fails again.
 */
export function isStalePlan(error: unknown): boolean {
  const signature = signatureOf(error)
  return signature === STALE_RESULT || signature === STALE_PARAMETER
}

/** Whether a query failed before it did anything, because of what its connection was used for before. */
export const isStale = (error: unknown) =>
  isStalePlan(error) || isUnknownStatement(error) || isInFailedTransaction(error)

/**
 * Whether PostgreSQL and we do not agree on what is prepared on a connection, as behind a pooler that gives each
 * transaction another.
 */
export const isUnknownStatement = (error: unknown) => UNKNOWN_STATEMENT.has(codeOf(error) ?? '')

/** Whether the connection was left in a transaction that failed. */
export const isInFailedTransaction = (error: unknown) => codeOf(error) === IN_FAILED_TRANSACTION

/** Whether the types of a statement do not fit together, or not to its tables any more. */
export const isInvalid = (error: unknown) => /^428/.test(String(codeOf(error)))

/**
 * Whether the server is read-only. A connection stays with its server, which may have become a standby in a failover.
 */
export const isReadOnly = (error: unknown) => codeOf(error) === '25006'

/** Whether PostgreSQL cancelled a statement: it was asked to, or the statement took longer than it may. */
export const isCancelled = (error: unknown) => codeOf(error) === '57014'

// A connection that was established broke.
const BROKEN = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'EPIPE',
  'ERR_STREAM_DESTROYED',
  'ETIMEDOUT'
])

/** Whether the connection of a query broke: it may have done what it was to do, and nobody knows. */
export const isBroken = (error: unknown) => BROKEN.has(String(codeOf(error)))

/** What a failed query means: the database cannot be used now, it cannot hold a value, or the fault is ours. */
export function classify(error: unknown): 'unavailable' | 'value_out_of_range' | undefined {
  const code = codeOf(error)
  if (code === undefined) return undefined
  if (CONNECTION.has(code) || SQLSTATE.test(code)) return 'unavailable'
  if (isUnknownStatement(error) || isInFailedTransaction(error)) return 'unavailable'
  // The other stale plan is of a wrong statement, once no attempt is left.
  if (signatureOf(error) === STALE_RESULT) return 'unavailable'
  // Class 22, data exceptions: validation should have refused the value; the client must still not see a 500.
  return /^22/.test(code) ? 'value_out_of_range' : undefined
}

interface DatabaseError {
  code?: unknown
  constraint_name?: unknown
  /** The function of PostgreSQL that reported it. */
  routine?: unknown
}

/** What PostgreSQL or the driver said, which Drizzle keeps in `cause`. */
function reported(error: unknown): DatabaseError {
  const { cause } = error as { cause?: DatabaseError | null }
  return cause?.code == null ? (error as DatabaseError) : cause
}

// PostgreSQL 18 has a code of its own for a foreign key that restricts a delete.
const VIOLATIONS = new Set(['23503', '23001', '23505', '23514'])

/** The name of the constraint that a statement violates; undefined for another error. */
export function violatedConstraint(error: unknown): string | undefined {
  const { constraint_name: name } = reported(error)
  return VIOLATIONS.has(codeOf(error) ?? '') && typeof name === 'string' ? name : undefined
}

const routineOf = (error: unknown) => String(reported(error).routine)

/** The SQLSTATE or socket code of a query's error. */
export function codeOf(error: unknown): string | undefined {
  const { code } = reported(error)
  return typeof code === 'string' && /^[A-Z0-9_]+$/.test(code) ? code : undefined
}
