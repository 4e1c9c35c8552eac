/** The members of Node's and postgres.js's errors that say why something failed. */
interface Reason {
  code?: unknown
  constraint_name?: string
  table_name?: string
  column_name?: string
  routine?: string
}

type Thrown = Error & Reason & { query?: string }

/** The longest chain of causes that is searched. */
const MAX_CAUSES = 4

/**
 * Returns the first error with a code among an error and its causes. Drizzle's errors have PostgreSQL's as their cause.
 */
function reasonOf(error: Thrown): Reason {
  let current: unknown = error
  for (let depth = 0; depth <= MAX_CAUSES && current instanceof Error; depth++) {
    if ('code' in current) return current
    current = current.cause
  }
  return {}
}

/**
 * Returns what may be logged of an error: never a value that a user stores. The message of a failed query contains the
 * parameters of its statement, and PostgreSQL's message and detail may contain them too. So the log gets the statement
 * and the names of the constraint, table and column instead.
 */
export function errorSerializer(error: Thrown) {
  const { name, message, query, stack = '' } = error
  const { code, constraint_name: constraint, table_name: table, column_name: column, routine } = reasonOf(error)
  const frames = stack.slice(stack.indexOf('\n    at '))
  // Fastify's own message contains the URL.
  const loggedMessage = code === 'FST_ERR_REP_ALREADY_SENT' ? 'The reply was sent already' : (query ?? message)
  return { type: name, message: loggedMessage, code, constraint, table, column, routine, stack: frames }
}
