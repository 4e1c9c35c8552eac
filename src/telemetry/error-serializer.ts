/** What tells why something failed: members of Node's errors, and of those of postgres.js. */
interface Reason {
  code?: unknown
  constraint_name?: string
  table_name?: string
  column_name?: string
  routine?: string
}

type Thrown = Error & Reason & { query?: string }

/** How deep an error that caused another may be. */
const MAX_CAUSES = 4

/** Of an error and those that caused it the first that says why: Drizzle keeps PostgreSQL's as the cause of its own. */
function reasonOf(error: Thrown): Reason {
  let one: unknown = error
  for (let depth = 0; depth <= MAX_CAUSES && one instanceof Error; depth++) {
    if ('code' in one) return one
    one = one.cause
  }
  return {}
}

/**
 * What may be logged of an error: never a value that a user stores. The message of a failed query holds the parameters
 * of its statement, and so may PostgreSQL's message and detail; instead there are the statement, and the names of what
 * failed.
 */
export function errorSerializer(error: Thrown) {
  const { name, message, query, stack = '' } = error
  const { code, constraint_name: constraint, table_name: table, column_name: column, routine } = reasonOf(error)
  const frames = stack.slice(stack.indexOf('\n    at '))
  // Fastify's own message holds the URL.
  const told = code === 'FST_ERR_REP_ALREADY_SENT' ? 'The reply was sent already' : (query ?? message)
  return { type: name, message: told, code, constraint, table, column, routine, stack: frames }
}
