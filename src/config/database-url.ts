/**
 * Parameters of a connection URL that other tools read, or libpq. The driver would send them to PostgreSQL as settings
 * of the session, which ends in "unrecognized configuration parameter", or would ignore them.
 */
const UNSUPPORTED: Record<string, string> = {
  channel_binding: 'remove it, since the driver has no channel binding',
  connect_timeout: 'remove it, since the service waits 3 seconds',
  connection_limit: 'set DATABASE_POOL_MAX instead',
  pgbouncer: 'set DATABASE_PREPARE=false instead',
  pool_timeout: 'remove it, since the service waits a second',
  schema: 'write search_path instead',
  sslcert: 'remove it, since the driver takes no client certificate by its path',
  sslkey: 'remove it, since the driver takes no client certificate by its path',
  sslrootcert: 'set NODE_EXTRA_CA_CERTS to that path instead, with sslmode=verify-full'
}

/** Parameters of libpq that repeat another part of the URL. */
const ELSEWHERE = new Set(['dbname', 'hostaddr', 'password', 'port', 'user'])

const directoryOf = (value: string | null) => (value?.startsWith('/') ? value : undefined)

/** What is wrong with the parameters of `DATABASE_URL`, a sentence each. */
export function* parameterFaults(url: string): Generator<string> {
  for (const [name, value] of new URL(url).searchParams) {
    const remedy = ELSEWHERE.has(name)
      ? 'write it before the question mark, as postgres://user:password@host:5432/database'
      : name === 'host' && directoryOf(value) === undefined
        ? 'write it before the question mark, unless it is the directory of a socket'
        : name === 'sslrootcert' && value === 'system'
          ? undefined
          : UNSUPPORTED[name]
    if (remedy !== undefined) yield `DATABASE_URL has the parameter ${name}, which is not supported: ${remedy}.`
  }
}

/**
 * The URL for the driver, and the directory of the socket that libpq would take from its parameter `host`: the driver
 * ignores that.
 */
export function driverAddress(url: string): { url: string; host?: string } {
  const parsed = new URL(url)
  const host = directoryOf(parsed.searchParams.get('host'))
  if (host === undefined) return { url }
  parsed.searchParams.delete('host')
  return { url: parsed.href, host }
}
