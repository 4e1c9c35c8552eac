/** The schemes of web pages. Their origins have one canonical form (URL standard, "special schemes"). */
const WEB = /^https?:$/
/** The other special schemes that have a host. No page has such an origin. */
const PAGELESS = /^(?:wss?|ftp):$/

/** Origins of apps and extensions: `capacitor://localhost`, `app://.`, `file://`, `moz-extension://` and a UUID. */
const APP_ORIGIN = /^([a-z][a-z\d+.-]*):\/\/([^\s/?#@"'<>\\^`{|}]*)/i

/**
 * Returns the `Origin` that browsers send from a page at `url`, or undefined when no page can have that URL. The host
 * of an app's scheme is not changed, since only http and https have hosts in lower case and default ports.
 */
function serializedOrigin(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined
  const { protocol, origin } = new URL(url)
  if (WEB.test(protocol)) return origin
  const [, scheme, authority] = (PAGELESS.test(protocol) ? null : APP_ORIGIN.exec(url)) ?? []
  return scheme === undefined ? undefined : `${scheme.toLowerCase()}://${authority}`
}

/** Returns why an element of `CORS_ORIGIN` can never match what a browser sends, or undefined when it can match. */
export function originFault(element: string, expects: string): string | undefined {
  const prefix = `CORS_ORIGIN has "${element}"`
  if (element === '*') return undefined
  // Allowing `null` would allow the sandboxed frames of every site.
  if (element === 'null')
    return `${prefix}, which any sandboxed frame or local file sends: give the app an origin of its own.`
  if (element.includes('*')) return `${prefix}, but there are no wildcards: write each origin out, or set it to *.`
  const sent = serializedOrigin(element)
  if (sent === undefined) return `${prefix}: set it to ${expects}.`
  return sent === element ? undefined : `${prefix}, which never matches: browsers send ${sent}.`
}
