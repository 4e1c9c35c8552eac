import { KeySetError } from './jwk.ts'

/** Room for about 1,000 RSA keys, or 2,500 Ed25519 keys. */
const MAX_BYTES = 512 * 1024

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Downloads the text at `url`. It accepts only a 200 of bounded size, and follows no redirect. */
export async function download(url: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(url, {
    // A cache between the service and the issuer could hold a key set that lacks a key in use.
    headers: { accept: 'application/jwk-set+json, application/json', 'cache-control': 'no-cache' },
    // If redirects were followed, an attacker who can make the issuer redirect could supply the keys.
    redirect: 'error',
    signal
  })
  if (response.status !== 200) throw new KeySetError(`status ${response.status}`)
  const chunks: Uint8Array[] = []
  let bytes = 0
  // The body is null only for a status that has none, and a 200 has one.
  for await (const chunk of response.body as ReadableStream<Uint8Array>) {
    bytes += chunk.length
    if (bytes > MAX_BYTES) throw new KeySetError('too large')
    chunks.push(chunk)
  }
  return utf8.decode(Buffer.concat(chunks))
}

/** Returns why a fetch failed, for the log, without a stack. A network error has its reason in `cause`. */
export function reasonOf(error: unknown): string {
  const { cause = error } = error as { cause?: unknown }
  const { code, message } = cause as NodeJS.ErrnoException
  return code ?? message
}
