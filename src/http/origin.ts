/** Schemes of pages whose origins have one canonical form (URL standard, "special schemes"). */
const WEB = /^https?:$/
/** The other special schemes that have a host: no page comes from them. */
const PAGELESS = /^(?:wss?|ftp):$/

/** What apps and extensions send: `capacitor://localhost`, `app://.`, `file://`, `moz-extension://` and a UUID. */
const OF_AN_APP = /^([a-z][a-z\d+.-]*):\/\/([^\s/?#@"'<>\\^`{|}]*)/i

/**
 * What browsers send as `Origin` from a page at `url`, or undefined where no page can be. The host of an app's scheme
 * stays as it is, since only http and https have hosts in lower case and default ports.
 */
function serializedOrigin(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined
  const { protocol, origin } = new URL(url)
  if (WEB.test(protocol)) return origin
  const [, scheme, authority] = (PAGELESS.test(protocol) ? null : OF_AN_APP.exec(url)) ?? []
  return scheme === undefined ? undefined : `${scheme.toLowerCase()}://${authority}`
}

/** Why an element of `CORS_ORIGIN` can never match what a browser sends, or undefined when it can. */
export function originFault(element: string, expects: string): string | undefined {
  const told = `CORS_ORIGIN has "${element}"`
  if (element === '*') return undefined
  // Allowing it would let every sandboxed frame in, whoever made it.
  if (element === 'null')
    return `${told}, which any sandboxed frame or local file sends: give the app an origin of its own.`
  if (element.includes('*')) return `${told}, but there are no wildcards: write each origin out, or set it to *.`
  const sent = serializedOrigin(element)
  if (sent === undefined) return `${told}: set it to ${expects}.`
  return sent === element ? undefined : `${told}, which never matches: browsers send ${sent}.`
}
