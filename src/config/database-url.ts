/**
 * Parameters of a connection URL that libpq or other tools read. The driver would ignore them, or send them to
 * PostgreSQL as settings of the session, which fails with "unrecognized configuration parameter".
 */
const UNSUPPORTED: Record<string, string> = {
  channel_binding: 'remove it, since the driver does not support channel binding',
  connect_timeout: 'remove it, since the service waits 3 seconds',
  connection_limit: 'set DATABASE_POOL_MAX instead',
  pgbouncer: 'set DATABASE_PREPARE=false instead',
  pool_timeout: 'remove it, since the service waits 1 second',
  schema: 'write search_path instead',
  sslcert: 'remove it, since the driver reads no client certificate from a file',
  sslkey: 'remove it, since the driver reads no client certificate from a file',
  sslrootcert: 'set NODE_EXTRA_CA_CERTS to that path instead, with sslmode=verify-full'
}

/** Parameters of libpq that repeat another part of the URL. */
const ELSEWHERE = new Set(['dbname', 'hostaddr', 'password', 'port', 'user'])

const directoryOf = (value: string | null) => (value?.startsWith('/') ? value : undefined)

/** Yields a sentence for each parameter of the URL in `variable` that is not supported. */
export function* parameterFaults(url: string, variable = 'DATABASE_URL'): Generator<string> {
  for (const [name, value] of new URL(url).searchParams) {
    const remedy = ELSEWHERE.has(name)
      ? 'write it before the question mark, as postgres://user:password@host:5432/database'
      : name === 'host' && directoryOf(value) === undefined
        ? 'write it before the question mark, unless it is the directory of a socket'
        : name === 'sslrootcert' && value === 'system'
          ? undefined
          : UNSUPPORTED[name]
    if (remedy !== undefined) yield `${variable} has the parameter ${name}, which is not supported: ${remedy}.`
  }
}

/** Returns the URLs of a list. A comma also separates the hosts of one URL, so a URL follows the comma of the list. */
export const urlsOf = (list = '') => list.split(/[\s,]+(?=[a-z]+:\/\/)|\s+/).filter((url) => url !== '')

/** The folder of the embedded database (`pglite://folder`), or undefined when the database is a server. */
export const embeddedFolder = (url: string) => (url.startsWith('pglite://') ? url.slice('pglite://'.length) : undefined)

/** The port of PostgreSQL where a URL names none. */
const DEFAULT_PORT = 5432

/** Returns the URL without the directory of a socket, which libpq takes from the parameter `host`. */
function withoutDirectory(url: string): { url: string; directory?: string } {
  const parsed = new URL(url)
  const directory = directoryOf(parsed.searchParams.get('host'))
  if (directory === undefined) return { url }
  parsed.searchParams.delete('host')
  return { url: parsed.href, directory }
}

/**
 * Returns the URL for the driver, and the addresses of its hosts in their order. A host that begins with a slash is the
 * directory of a socket.
 */
export function databaseAddresses(given: string) {
  const { url, directory } = withoutDirectory(given)
  const addresses = new URL(url).host.split(',').map((one) => {
    const [, name, port = DEFAULT_PORT] = /^(.*?)(?::(\d+))?$/.exec(one) as unknown as [string, string, string?]
    const host = directory ?? (decodeURIComponent(name).replace(/^\[(.*)\]$/, '$1') || 'localhost')
    return host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port: Number(port) }
  })
  return { url, addresses }
}
